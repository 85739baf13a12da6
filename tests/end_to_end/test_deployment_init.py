"""The service `init` of the deployment, against a real PostgreSQL."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.pool import NullPool

from intent_tasks.local import postgres
from intent_tasks.local.configuration import CALLER_PREFIXES
from intent_tasks.local.databases import ROLES
from intent_tasks.local.ports import free_ports

pytestmark = pytest.mark.end_to_end

ROOT = Path(__file__).parents[2]
PASSWORD = "a-password"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[postgres.Server]:
    """An empty server with the superuser name of the image."""
    folder = Path(tempfile.mkdtemp(prefix="intent-postgres-"))
    folder.chmod(0o755)  # the server may run under another account
    server = postgres.Server(folder, free_ports(1)[0], SecretStr(PASSWORD))
    server.start()
    run(server.url(), f"CREATE ROLE postgres LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
    yield server
    server.stop()
    shutil.rmtree(folder)


def run(url: SecretStr, statement: str) -> list[tuple]:
    engine = sa.create_engine(
        url.get_secret_value(), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    with engine.connect() as connection:
        result = connection.execute(sa.text(statement))
        return [tuple(row) for row in result] if result.returns_rows else []


def settings(server: postgres.Server, home: Path) -> dict[str, str]:
    def url(role: str, database: str = "shop") -> str:
        return server.url(database, role, PASSWORD).get_secret_value()

    names = ["AIRFLOW_ADMIN", "AIRFLOW_DATABASE", "MLFLOW_DATABASE", "POSTGRES"]
    names += [role.upper() for role in ROLES if role.startswith("intent_")]
    return {
        **{f"{name}_PASSWORD": PASSWORD for name in names},
        "POSTGRES_ADDRESS": f"127.0.0.1:{server.port}",
        "INTENT_HOME": str(home),
        "INTENT_SHOP_URL": url("intent_extract"),
        "INTENT_PIPELINE_URL": url("intent_pipeline"),
        "INTENT_ANALYST_URL": url("intent_analyst"),
        "INTENT_MIGRATOR_URL": url("intent_migrator"),
        "INTENT_MLFLOW_URL": "http://mlflow:5000",
        "INTENT_IDENTITY_KEY": "key",
        "INTENT_MANIFEST_KEY": "key",
        "AIRFLOW_HOME": str(home / "airflow"),
        "AIRFLOW__CORE__AUTH_MANAGER": (
            "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
        ),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": url("airflow", "airflow"),
    }


def test_init_creates_roles_tables_and_one_user_and_may_run_twice(server, tmp_path):
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(CALLER_PREFIXES)}
    environment = inherited | settings(server, tmp_path)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "docker/init.py"],
            cwd=ROOT,
            env=environment | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
    analyst = server.url("shop", "intent_analyst", PASSWORD)
    assert run(analyst, "SELECT count(*) FROM intent.latest_predictions") == [(0,)]
    users = run(server.url("airflow", "airflow", PASSWORD), "SELECT username FROM ab_user")
    assert users == [("admin",)]
    assert PASSWORD not in done.stdout + done.stderr
