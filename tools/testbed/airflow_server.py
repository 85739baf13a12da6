"""A real Airflow on a real PostgreSQL whose steps are fast stand-ins.

A stand-in reads from a file how its next attempts end, one word for each attempt (an exit code, or
`sleep`), ends so, and writes a journal.
"""

import json
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import httpx
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from intent_tasks.local import configuration
from intent_tasks.local.airflow_api import FINISHED, AirflowApi
from intent_tasks.local.installation import Calendar, Installation
from intent_tasks.local.supervisor import Supervisor, wait_until
from intent_tasks.local.supervisor_client import AIRFLOW

T = TypeVar("T")

LAST_DAY = date(2026, 6, 30)
DAGS = ("intent_daily", "intent_train", "intent_feedback")

STAND_IN = """#!/bin/sh
''''exec "{python}" -S "$0" "$@" # '''
import json, os, pathlib, sys, time
_, _, _, step, _, day, *rest = sys.argv[1:]
bucket = rest[rest.index("--bucket") + 1] if "--bucket" in rest else None
home = pathlib.Path({home!r})
endings = home / (step + ".ends")
words = endings.read_text().split() if endings.exists() else []
if words:
    endings.write_text(" ".join(words[1:]))
with (home / "journal").open("a") as journal:
    journal.write(json.dumps([step, day, bucket, os.getpid()]) + "\\n")
print(step, "works", flush=True)
if words and words[0] == "sleep":
    time.sleep(600)
elif words and words[0] != "0":
    if words[0] == "78":
        print(json.dumps({{"data_docs": "data_docs/refused.html"}}))
    print("Refused: " + step + " ends with " + words[0], file=sys.stderr)
    sys.exit(int(words[0]))
print(json.dumps({{
    "as_of_date": day, "buckets": [0, 1], "run_url": "http://mlflow/" + step,
    "data_docs": "data_docs/day.html",
}}))
"""


@dataclass(frozen=True)
class Airflow:
    """A running Airflow with stand-ins for the steps."""

    api: AirflowApi
    http: httpx.Client
    home: Path

    def set_endings(self, step: str, *endings: object) -> None:
        """Set how the next attempts of a step end; later attempts succeed."""
        (self.home / f"{step}.ends").write_text(" ".join(map(str, endings)))

    def attempts(self) -> list[tuple[str, str, str | None, int]]:
        """Return all attempts so far: step, day, bucket, process id."""
        file = self.home / "journal"
        lines = file.read_text().splitlines() if file.exists() else []
        return [tuple(json.loads(line)) for line in lines]

    def wait_for_run(self, dag_id: str, run_id: str) -> str:
        """Wait for the end of a run; return its state."""

        def final_state() -> str | None:
            run = self.api.run(dag_id, run_id)
            return str(run["state"]) if run and run["state"] in FINISHED else None

        return wait_for(final_state, f"the end of {dag_id} {run_id}")

    def get(self, path: str) -> httpx.Response:
        """Get a page as a logged-in user."""
        return self.http.get(path)

    def call(self, method: str, path: str, **body: object) -> dict[str, Any]:
        """Call the REST API; return the answer."""
        answer = self.http.request(method, f"/api/v2/{path}", json=body or None)
        assert answer.is_success, answer.text
        parsed: dict[str, Any] = answer.json()
        return parsed


def wait_for(read: Callable[[], T | None], description: str, seconds: float = 60) -> T:
    """Read repeatedly; return the first value that is not empty."""
    end = time.monotonic() + seconds
    while not (value := read()):
        assert time.monotonic() < end, f"waited {seconds} s for {description}"
        time.sleep(0.2)
    return value


@contextmanager
def start_airflow(home: Path, retry_delay_seconds: int = 1) -> Iterator[Airflow]:
    """Start PostgreSQL and Airflow in a folder, and stop them."""
    home.mkdir(parents=True, exist_ok=True)
    schedule = {
        "INTENT_TIME_ZONE": "Europe/Amsterdam",
        "INTENT_LAST_DAY": LAST_DAY.isoformat(),
        "INTENT_PYTHON": str(_stand_in(home)),
        "INTENT_RETRY_DELAY_SECONDS": str(retry_delay_seconds),
    }
    # Only while this Airflow starts: other installations of the test session have real steps.
    with mock.patch.object(configuration, "airflow_settings", return_value=schedule):
        installation = Installation.prepare(home, Calendar(last_day=LAST_DAY))
        configuration.write_all(installation)
        installation.postgres.create()
        supervisor = Supervisor(installation)
        supervisor.launch()
        _start(installation, supervisor)
    try:
        with _client(installation) as http:
            secrets = installation.secrets
            api = AirflowApi(str(http.base_url), configuration.USER, secrets.airflow)
            for dag_id in DAGS:
                wait_for(partial(api.dag_is_known, dag_id), dag_id)
                api.unpause(dag_id)
            yield Airflow(api, http, home)
            api.close()
    finally:
        supervisor.shutdown(print)


def _stand_in(home: Path) -> Path:
    script = home / "stand-in"
    script.write_text(STAND_IN.format(python=sys.executable, home=str(home)))
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return script


def _start(installation: Installation, supervisor: Supervisor) -> None:
    supervisor.start("postgres")
    wait_until(lambda: _has_database(installation), "a database for Airflow", 60)
    subprocess.run(
        [sys.executable, "-m", "airflow", "db", "migrate"],
        env=configuration.shared_environment(installation),
        capture_output=True,
        check=True,
    )
    for name in AIRFLOW:
        supervisor.start(name)
    health = installation.address("airflow") + "/api/v2/monitor/health"
    wait_until(lambda: _is_healthy(health), "Airflow", 120)


def _has_database(installation: Installation) -> bool:
    engine = sa.create_engine(
        installation.postgres.url().get_secret_value(),
        isolation_level="AUTOCOMMIT",
        poolclass=NullPool,
    )
    password = installation.secrets.roles["airflow"]
    try:
        with engine.connect() as connection:
            connection.execute(sa.text(f"CREATE ROLE airflow LOGIN PASSWORD '{password}'"))
            connection.execute(sa.text("CREATE DATABASE airflow OWNER airflow"))
    except sa.exc.OperationalError:
        return False
    return True


def _is_healthy(address: str) -> bool:
    try:
        parts = httpx.get(address, timeout=5).json()
    except (httpx.TransportError, ValueError):
        return False
    return all(parts[p]["status"] == "healthy" for p in ("scheduler", "dag_processor", "triggerer"))


def _client(installation: Installation) -> httpx.Client:
    address = installation.address("airflow")
    log_in = {"username": configuration.USER, "password": installation.secrets.airflow}
    token = httpx.post(f"{address}/auth/token", json=log_in).json()["access_token"]
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}, timeout=30)
