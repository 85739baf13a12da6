"""One embedded PostgreSQL for all tests, and a migrated database for each test."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.pool import NullPool
from xdist.scheduler import LoadScopeScheduling

from intent_tasks.local import databases, ports, postgres
from intent_tasks.settings import Settings
from tools.testbed.settings import settings_for

FAST = (
    ("fsync", "off"),
    ("synchronous_commit", "off"),
    ("full_page_writes", "off"),
    ("scram_iterations", "1"),  # else proving a password costs more than most queries
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --trials, the number of trials that a published figure needs."""
    parser.addoption("--trials", type=int, default=10, help="trials of each fault in tests/faults")


SHARED_SERVERS = {
    "test_loop.py": "stack",
    "test_servers.py": "stack",
    "test_airflow_pages.py": "airflow",
    "test_scheduler.py": "airflow",
}
"""Files whose tests use the same servers, which one worker starts: by the servers' fixture."""

LONGEST_FIRST = (
    "stack", "training", "faults", "database", "airflow", "end_to_end", "registry", "dags", "unit",
)  # fmt: skip
"""Servers and folders by how long their tests take, so that no worker ends with a long one."""


class ByServers(LoadScopeScheduling):
    """Gives each worker whole files, and all files that share servers to one worker."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::")[0]
        return SHARED_SERVERS.get(Path(file).name, file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> ByServers:
    """Share the tests among workers by the servers and fixtures that they need."""
    return ByServers(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest where several workers share the tests."""

    def rank(item: pytest.Item) -> int:
        servers = SHARED_SERVERS.get(item.path.name, item.path.parent.name)
        return LONGEST_FIRST.index(servers)

    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=rank)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """An embedded PostgreSQL with all databases and roles; the password of a role is its name."""
    folder = Path(tempfile.mkdtemp(prefix="intent-postgres-"))
    folder.chmod(0o755)  # the server may run under another account
    server = postgres.Server(
        folder, ports.free_ports(1)[0], SecretStr(secrets.token_urlsafe(12)), FAST
    )
    try:
        server.start()
        databases.create(server, {role: role for role in databases.ROLES})
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_database(
    postgres_server: postgres.Server, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Name of a database with every migration applied, which each test copies."""
    from intent_tasks.stores import migrate

    settings = settings_for(postgres_server, databases.SHOP, tmp_path_factory.mktemp("home"))
    migrate.migrate(settings)
    return databases.SHOP


@contextmanager
def copy_of(server: postgres.Server, database: str) -> Iterator[str]:
    """Copy a database to which nobody is connected; yield the name of the copy."""
    name = f"test_{secrets.token_hex(4)}"
    engine = sa.create_engine(
        server.url().get_secret_value(), isolation_level="AUTOCOMMIT", poolclass=NullPool
    )
    with engine.connect() as connection:
        options = (
            f'TEMPLATE "{database}" STRATEGY file_copy'  # half the time of writing it to the log
        )
        connection.execute(sa.text(f'CREATE DATABASE "{name}" {options}'))
        try:
            yield name
        finally:
            connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))


@pytest.fixture
def settings(
    postgres_server: postgres.Server, migrated_database: str, tmp_path: Path
) -> Iterator[Settings]:
    """Settings of an installation with an empty, migrated database of its own."""
    with copy_of(postgres_server, migrated_database) as name:
        yield settings_for(postgres_server, name, tmp_path)
