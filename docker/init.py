"""Create databases, roles, tables and the first user of a deployment; a second run changes nothing.

The service `init` runs it before the other services start. Only this service has the superuser's
password.
"""

import os
import subprocess
import sys

from pydantic import SecretStr
from sqlalchemy import URL

from intent_tasks.local import databases

USER = "admin"

PASSWORDS = {
    "intent_extract": "INTENT_EXTRACT_PASSWORD",
    "intent_pipeline": "INTENT_PIPELINE_PASSWORD",
    "intent_analyst": "INTENT_ANALYST_PASSWORD",
    "intent_migrator": "INTENT_MIGRATOR_PASSWORD",
    "intent_shop_owner": "INTENT_SHOP_OWNER_PASSWORD",
    "mlflow": "MLFLOW_DATABASE_PASSWORD",
    "airflow": "AIRFLOW_DATABASE_PASSWORD",
}
"""Environment variable with the password of each role."""


class Server:
    """The PostgreSQL server of the deployment, as its superuser."""

    def url(self, database: str = "postgres") -> SecretStr:
        """Return the SQLAlchemy URL of one of its databases."""
        host, port = os.environ.get("POSTGRES_ADDRESS", "postgres:5432").split(":")
        password = os.environ["POSTGRES_PASSWORD"]
        url = URL.create("postgresql+psycopg2", "postgres", password, host, int(port), database)
        return SecretStr(url.render_as_string(hide_password=False))


def create_user(password: str) -> None:
    """Create the first user of Airflow; its command line would show the password."""
    from airflow.providers.fab.auth_manager.cli_commands.utils import get_application_builder

    with get_application_builder() as builder:
        manager = builder.sm
        if manager.find_user(USER) is None:
            role = manager.find_role("Admin")
            manager.add_user(USER, "Ada", "Min", f"{USER}@localhost", role, password)


def main() -> None:
    """Create everything that is missing."""
    databases.create(Server(), {role: os.environ[name] for role, name in PASSWORDS.items()})
    for module in (["intent_tasks.cli", "migrate"], ["airflow", "db", "migrate"]):
        subprocess.run([sys.executable, "-m", *module], check=True)
    create_user(os.environ["AIRFLOW_ADMIN_PASSWORD"])


if __name__ == "__main__":
    main()
