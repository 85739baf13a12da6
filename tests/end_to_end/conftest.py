"""A local installation for all end-to-end tests: PostgreSQL, MLflow and Airflow."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil
import pytest

from intent_tasks.local import up
from intent_tasks.local.airflow_api import AirflowApi
from intent_tasks.local.configuration import USER
from intent_tasks.local.installation import Calendar, Installation
from intent_tasks.local.runs import Runs
from intent_tasks.settings import Settings, load_settings
from tests.end_to_end.connections import Connections, watch_connections
from tools.testbed.airflow_server import Airflow, start_airflow

LAST_DAY = date(2026, 6, 30)


@dataclass(frozen=True)
class Stack:
    """A running installation and its clients."""

    installation: Installation
    settings: Settings
    api: AirflowApi
    runs: Runs
    connections: Connections

    @property
    def home(self) -> Path:
        """The state folder."""
        return self.installation.home


@pytest.fixture(scope="session")
def state_folder() -> Iterator[Path]:
    """A state folder with spaces and umlauts in its name, that the database's account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="intent tests ü "))
    folder.chmod(0o755)
    before = os.environ.get("INTENT_HOME")
    os.environ["INTENT_HOME"] = str(folder / "state")
    yield folder / "state"
    up.delete(folder / "state", print)
    shutil.rmtree(folder)
    os.environ.pop("INTENT_HOME")
    if before is not None:
        os.environ["INTENT_HOME"] = before


@pytest.fixture(scope="session")
def stack(state_folder: Path) -> Iterator[Stack]:
    """All servers, with migrated databases and an empty shop whose last day is 2026-06-30."""
    with watch_connections(lambda: _own_processes(state_folder)) as connections:
        installation = up.up(state_folder, Calendar(last_day=LAST_DAY), print)
        api = AirflowApi(installation.address("airflow"), USER, installation.secrets.airflow)
        settings = load_settings()
        yield Stack(installation, settings, api, Runs(api, settings), connections)
        api.close()


def _own_processes(state_folder: Path) -> list[psutil.Process]:
    """Return this process and the one that runs the servers; the steps are children of both."""
    pids = [os.getpid()]
    with suppress(OSError, ValueError):
        pids.append(int((state_folder / "supervisord.pid").read_text()))
    return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]


@pytest.fixture(scope="session")
def airflow() -> Iterator[Airflow]:
    """Airflow alone, with stand-ins for the steps."""
    folder = Path(tempfile.mkdtemp(prefix="intent airflow ü "))
    folder.chmod(0o755)  # the database may run under another account
    with start_airflow(folder / "state") as running:
        yield running
    shutil.rmtree(folder)
