"""Settings of an installation on a PostgreSQL server of tests or benchmarks."""

from datetime import date
from pathlib import Path

from pydantic import SecretStr

from intent_tasks.local import postgres
from intent_tasks.settings import Settings


def settings_for(server: postgres.Server, database: str, home: Path, **changes: object) -> Settings:
    """Return settings for a database on which the password of a role is its name.

    Args:
        server: where the database is.
        database: its name.
        home: state folder.
        changes: settings with other values; without `mlflow_url` there is no MLflow server.
    """

    def url(role: str) -> SecretStr:
        return server.url(database, role, role)

    values = {
        "home": home,
        "shop_url": url("intent_extract"),
        "pipeline_url": url("intent_pipeline"),
        "analyst_url": url("intent_analyst"),
        "migrator_url": url("intent_migrator"),
        "shop_owner_url": url("intent_shop_owner"),
        "mlflow_url": "http://127.0.0.1:9",
        "identity_key": SecretStr("identity key of the tests"),
        "manifest_key": SecretStr("manifest key of the tests"),
        "bucket_count": 2,
        "last_day": date(2026, 6, 30),
    }
    return Settings(**{**values, **changes}, _env_file=None)  # type: ignore[arg-type, call-arg]
