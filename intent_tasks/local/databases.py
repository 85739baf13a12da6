"""The databases and roles of one installation, inside the embedded server."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from intent_tasks.local.postgres import Server
from intent_tasks.stores import roles

if TYPE_CHECKING:
    import sqlalchemy as sa  # takes as long to import as `intent status` runs

SHOP = "shop"
"""Database of the schemas `shop` and `intent`."""

OWNERS = {"mlflow": "mlflow", "airflow": "airflow"}
"""Databases of MLflow and Airflow, and the role that owns each."""

DEFAULT_DATABASES = ("postgres", "template1")
"""Databases of every PostgreSQL server, which none of our roles needs."""

ROLES = tuple(roles.TIMEOUTS_MINUTES)


def create(server: Server, passwords: Mapping[str, str]) -> None:
    """Create missing databases and roles, and set the passwords of the roles."""
    import sqlalchemy as sa

    engine = sa.create_engine(
        server.url().get_secret_value(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with engine.connect() as connection:
        for database in (SHOP, *OWNERS):
            _create_database(connection, database)
        for database in DEFAULT_DATABASES:
            connection.execute(sa.text(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC"))
        roles.create_roles(server.url(SHOP).get_secret_value(), passwords)
        for database, owner in OWNERS.items():
            connection.execute(sa.text(f'ALTER DATABASE "{database}" OWNER TO "{owner}"'))
            connection.execute(sa.text(f'REVOKE ALL ON DATABASE "{database}" FROM PUBLIC'))


def _create_database(connection: "sa.Connection", name: str) -> None:
    import sqlalchemy as sa

    known = sa.text("SELECT 1 FROM pg_database WHERE datname = :name")
    if connection.execute(known, {"name": name}).scalar() is None:
        connection.execute(sa.text(f'CREATE DATABASE "{name}"'))
