"""Start all servers of a local installation, as much at once as two cores gain from."""

import fcntl
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import httpx
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from intent_tasks.errors import IntentError, Refused, TemporaryFailure
from intent_tasks.local import configuration, databases, patience
from intent_tasks.local.installation import Calendar, Installation
from intent_tasks.local.supervisor import (
    AIRFLOW,
    POLL_SECONDS,
    Supervisor,
    end_left_behind,
    last_lines,
)
from intent_tasks.settings import Schedule
from intent_tasks.stores.atomic_files import nobody_else

STILL_SECONDS = 180
"""Longest time in which a server that does not answer yet neither works nor says anything."""
SAY_EVERY_SECONDS = 20
ANSWER_SECONDS = 30
MOST_STARTS = 5
"""A server that is started this often, and does not answer, does not start."""

NEEDED_BYTES = 1_500_000_000
"""Disk space without which the servers are not started: databases, logs and artifacts."""


@contextmanager
def only_one(home: Path, what: str) -> Iterator[None]:
    """Hold a lock of the state folder.

    Raises:
        TemporaryFailure: another process holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with nobody_else(), (home / f"{what}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TemporaryFailure(
                f"`intent {what}` already runs for {home}. Wait for it, or stop it with Ctrl-C "
                "where it runs; calling it again then continues."
            ) from None
        yield


def calendar_of(home: Path, time_zone: str | None, last_day: date | None) -> Calendar:
    """Return the calendar that was asked for; what was not is as the settings, or the shop, say.

    Raises:
        BadInput: there is no such time zone.
    """
    known = Installation.load(home)
    return Calendar(
        time_zone=time_zone or configuration.time_zone(home),
        last_day=last_day or (known.calendar.last_day if known else None),
    )


def up(
    home: Path,
    calendar: Calendar | None,
    say: Callable[[str], None],
    fill: Sequence[str] = (),
) -> Installation:
    """Start whatever does not run, and return the installation when everything answers.

    Args:
        home: state folder.
        calendar: of the shop; None keeps what it is.
        say: shows a line to the person who waits.
        fill: arguments of the `intent` command that fills the shop, run when the database is
            ready, while the other servers start.

    Raises:
        Refused: a port that was asked for is taken, the disk is full, the folder serves another
            shop, or the environment sets what the installation decides itself.
        BadInput: a setting cannot be used.
        IntentError: a server does not start; the message ends with its last words.
        TemporaryFailure: a server does not answer, and does nothing.
    """
    with only_one(home, "up"):
        installation, supervisor = _supervised(home, calendar, say)
        supervisor.start("postgres")
        _wait(supervisor, "postgres", lambda: _database_answers(installation), say)
        databases.create(installation.postgres, installation.secrets.roles)
        with ThreadPoolExecutor() as pool:
            begun = [
                pool.submit(_start_airflow, installation, supervisor, say),
                pool.submit(_start_mlflow, installation, supervisor, say),
                pool.submit(_fill, installation, fill),
            ]
        for started in begun:
            started.result()
        return installation


def down(home: Path, say: Callable[[str], None]) -> bool:
    """Stop all servers, also those that a killed supervisord left; return whether any ran."""
    installation = Installation.load(home)
    if installation is None:
        return False
    supervisor = Supervisor(installation)
    if not supervisor.answers():
        return end_left_behind(installation)
    supervisor.shutdown(say)
    return True


def delete(home: Path, say: Callable[[str], None]) -> bool:
    """Stop all servers and remove every file of the installation; return whether any ran."""
    ran = down(home, say)
    installation = Installation.load(home)
    if installation:
        shutil.rmtree(installation.postgres_folder, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)
    return ran


def _supervised(
    home: Path, calendar: Calendar | None, say: Callable[[str], None]
) -> tuple[Installation, Supervisor]:
    configuration.require_free(home)
    known = Installation.load(home)
    if known and Supervisor(known).answers():
        serving = known.serving(calendar)
        _tell(serving, say)
        return serving, Supervisor(serving)
    require_space(home)
    if known:
        end_left_behind(known)
    installation = Installation.prepare(home, calendar)
    if not installation.postgres_folder.is_relative_to(home):
        say(
            f"PostgreSQL may not run as root, and its account may not enter {home}: "
            f"the database is in {installation.postgres_folder}."
        )
    configuration.write_all(installation)
    installation.postgres.create()
    supervisor = Supervisor(installation)
    supervisor.launch()
    return installation, supervisor


def _tell(running: Installation, say: Callable[[str], None]) -> None:
    """Write settings that were given while the servers run; steps read them when they start."""
    running.save()
    late = sorted(configuration.write_settings(running) & configuration.names(Schedule))
    if late:
        say(f"Airflow reads {', '.join(late)} when it starts: `make stop`, and then this again.")


def require_space(home: Path) -> None:
    """Check the free disk space before anything is begun.

    Raises:
        Refused: there is too little.
    """
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    if free < NEEDED_BYTES:
        raise Refused(
            f"{free / 1e9:.1f} GB are free at {home}; {NEEDED_BYTES / 1e9:.1f} GB are needed. "
            "Free some, or set INTENT_HOME to a folder on another disk."
        )


def _wait(
    supervisor: Supervisor, name: str, answers: Callable[[], bool], say: Callable[[str], None]
) -> None:
    """Wait until a server answers, as long as it is at work.

    Raises:
        IntentError: it gave up, or is started again and again.
        TemporaryFailure: it does not answer, and does nothing.
    """
    log = supervisor.installation.logs / f"{name}.log"
    begun = said_at = time.monotonic()
    starts: set[int] = set()

    def answers_or_gave_up() -> bool:
        nonlocal said_at
        supervisor.check(name)
        if time.monotonic() - said_at > SAY_EVERY_SECONDS:
            said_at = time.monotonic()
            say(f"{name} does not answer yet, after {said_at - begun:.0f} s (log: {log})")
        return answers()

    def work() -> object:
        pid, *work = supervisor.work(name)
        starts.add(pid)
        if len(starts - {0}) > MOST_STARTS:
            raise IntentError(
                f"{name} ends soon after each start. It said: {last_lines(log)} (log: {log})"
            )
        return work

    what = f"{name} (log: {log})"
    patience.until(answers_or_gave_up, what, work, POLL_SECONDS, STILL_SECONDS)


def _database_answers(installation: Installation) -> bool:
    engine = sa.create_engine(installation.postgres.url().get_secret_value(), poolclass=NullPool)
    try:
        with engine.connect():
            return True
    except sa.exc.OperationalError:
        return False


def _start_mlflow(
    installation: Installation, supervisor: Supervisor, say: Callable[[str], None]
) -> None:
    supervisor.start("mlflow")
    supervisor.start("fork-server")  # nobody waits for it: until it answers, steps are spawned
    address = installation.address("mlflow") + "/health"
    _wait(supervisor, "mlflow", lambda: is_ok(address), say)


def _start_airflow(
    installation: Installation, supervisor: Supervisor, say: Callable[[str], None]
) -> None:
    if supervisor.states()[AIRFLOW[0]] != "RUNNING":
        _migrate_airflow(installation)
    for name in AIRFLOW:
        supervisor.start(name)
    address = installation.address("airflow") + "/api/v2/monitor/health"
    for name in AIRFLOW:
        _wait(supervisor, name, lambda: _healthy(address), say)


def _migrate_airflow(installation: Installation) -> None:
    _run(installation, "airflow-migrate", "airflow", "db", "migrate")


def _fill(installation: Installation, fill: Sequence[str]) -> None:
    _run(installation, "intent-migrate", "intent_tasks.cli", "migrate")
    if fill:
        _run(installation, f"intent-{fill[0]}", "intent_tasks.cli", *fill)


def _run(installation: Installation, name: str, *module: str) -> None:
    log = installation.logs / f"{name}.log"
    with log.open("a") as output:
        ended = subprocess.run(
            [sys.executable, "-m", *module],
            env=configuration.shared_environment(installation),
            stdout=output,
            stderr=output,
        )
    if ended.returncode:
        raise IntentError(f"`{' '.join(module)}` failed: {last_lines(log)} (log: {log})")


def is_ok(address: str) -> bool:
    """Return whether a web address answers with success."""
    try:
        return httpx.get(address, timeout=ANSWER_SECONDS).is_success
    except httpx.TransportError:
        return False


def _healthy(address: str) -> bool:
    try:
        parts = httpx.get(address, timeout=ANSWER_SECONDS).json()
    except (httpx.TransportError, ValueError):
        return False
    needed = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    return all(parts.get(part, {}).get("status") == "healthy" for part in needed)
