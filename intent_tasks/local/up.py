"""Start and stop all servers of a local installation."""

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
from intent_tasks.local import configuration, databases, waiting
from intent_tasks.local.installation import Calendar, Installation
from intent_tasks.local.supervisor import POLL_SECONDS, Supervisor, stop_orphans
from intent_tasks.local.supervisor_client import AIRFLOW, last_lines
from intent_tasks.settings import AirflowSettings
from intent_tasks.stores.atomic_files import private_files

STALL_SECONDS = 180
"""Longest time without processor use and log lines until a server answers."""
PRINT_EVERY_SECONDS = 20
RESPONSE_SECONDS = 30
MAX_STARTS = 5
"""A server that does not answer after this many starts has failed."""

NEEDED_BYTES = 1_500_000_000
"""Free disk space that is needed to start the servers: databases, logs and artifacts."""


@contextmanager
def lock_command(home: Path, command: str) -> Iterator[None]:
    """Hold the lock of a command on the state folder.

    Raises:
        TemporaryFailure: another process holds it.
    """
    home.mkdir(parents=True, exist_ok=True)
    with private_files(), (home / f"{command}.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TemporaryFailure(
                f"`intent {command}` is already running for {home}. Wait for it, or stop it with "
                "Ctrl-C and run it again to continue."
            ) from None
        yield


def calendar_of(home: Path, time_zone: str | None, last_day: date | None) -> Calendar:
    """Return the requested calendar, completed from the settings and the installation.

    Raises:
        BadInput: there is no such time zone.
    """
    existing = Installation.load(home)
    return Calendar(
        time_zone=time_zone or configuration.time_zone(home),
        last_day=last_day or (existing.calendar.last_day if existing else None),
    )


def up(
    home: Path,
    calendar: Calendar | None,
    print_line: Callable[[str], None],
    load_command: Sequence[str] = (),
) -> Installation:
    """Start the servers that are not running, and return the installation when all answer.

    Args:
        home: state folder.
        calendar: of the shop; None keeps it.
        print_line: prints a line for the person who waits.
        load_command: arguments of the `intent` command that loads the shop. It runs while the
            other servers start.

    Raises:
        Refused: a requested port is taken, the disk is full, the folder serves another shop, or
            the environment sets what the installation sets itself.
        BadInput: a setting cannot be used.
        IntentError: a server does not start; the message quotes the last lines of its log.
        TemporaryFailure: a server does not answer and makes no progress.
    """
    with lock_command(home, "up"):
        installation, supervisor = _launch_supervisor(home, calendar, print_line)
        supervisor.start("postgres")
        _wait(supervisor, "postgres", lambda: _database_answers(installation), print_line)
        databases.create(installation.postgres, installation.secrets.roles)
        with ThreadPoolExecutor() as pool:
            futures = [
                pool.submit(_start_airflow, installation, supervisor, print_line),
                pool.submit(_start_mlflow, installation, supervisor, print_line),
                pool.submit(_load_shop, installation, load_command),
            ]
        for future in futures:
            future.result()
        return installation


def down(home: Path, print_line: Callable[[str], None]) -> bool:
    """Stop all servers, also orphans of a killed supervisord; return whether any was running."""
    installation = Installation.load(home)
    if installation is None:
        return False
    supervisor = Supervisor(installation)
    if not supervisor.answers():
        return stop_orphans(installation)
    supervisor.shutdown(print_line)
    return True


def delete(home: Path, print_line: Callable[[str], None]) -> bool:
    """Stop all servers and remove the installation; return whether any was running."""
    was_running = down(home, print_line)
    installation = Installation.load(home)
    if installation:
        shutil.rmtree(installation.postgres_folder, ignore_errors=True)
    shutil.rmtree(home, ignore_errors=True)
    return was_running


def _launch_supervisor(
    home: Path, calendar: Calendar | None, print_line: Callable[[str], None]
) -> tuple[Installation, Supervisor]:
    configuration.require_no_conflict(home)
    existing = Installation.load(home)
    if existing and Supervisor(existing).answers():
        running = existing.with_calendar(calendar)
        _update_settings(running, print_line)
        return running, Supervisor(running)
    require_space(home)
    if existing:
        stop_orphans(existing)
    installation = Installation.prepare(home, calendar)
    if not installation.postgres_folder.is_relative_to(home):
        print_line(
            f"PostgreSQL may not run as root, and its account may not enter {home}: "
            f"the database is in {installation.postgres_folder}."
        )
    configuration.write_all(installation)
    installation.postgres.create()
    supervisor = Supervisor(installation)
    supervisor.launch()
    return installation, supervisor


def _update_settings(running: Installation, print_line: Callable[[str], None]) -> None:
    """Write changed settings while the servers are running; steps read them at their start."""
    running.save()
    changed = configuration.write_settings(running)
    need_restart = sorted(changed & configuration.setting_names(AirflowSettings))
    if need_restart:
        print_line(
            f"Airflow reads {', '.join(need_restart)} at its start. Run `make stop`, then this "
            "command again."
        )


def require_space(home: Path) -> None:
    """Check the free disk space.

    Raises:
        Refused: it is too small.
    """
    home.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(home).free
    if free < NEEDED_BYTES:
        raise Refused(
            f"{free / 1e9:.1f} GB are free at {home}; {NEEDED_BYTES / 1e9:.1f} GB are needed. "
            "Free some space, or set INTENT_HOME to a folder on another disk."
        )


def _wait(
    supervisor: Supervisor,
    name: str,
    answers: Callable[[], bool],
    print_line: Callable[[str], None],
) -> None:
    """Wait until a server answers, as long as it makes progress.

    Raises:
        IntentError: it failed, or ends soon after each start.
        TemporaryFailure: it does not answer and makes no progress.
    """
    log = supervisor.installation.logs / f"{name}.log"
    start = printed_at = time.monotonic()
    starts: set[int] = set()

    def is_ready() -> bool:
        nonlocal printed_at
        supervisor.check(name)
        if time.monotonic() - printed_at > PRINT_EVERY_SECONDS:
            printed_at = time.monotonic()
            print_line(f"{name} does not answer after {printed_at - start:.0f} s (log: {log})")
        return answers()

    def read_progress() -> object:
        pid, *progress = supervisor.progress(name)
        starts.add(pid)
        if len(starts - {0}) > MAX_STARTS:
            raise IntentError(
                f"{name} ends soon after each start. Its last lines: {last_lines(log)} (log: {log})"
            )
        return progress

    waiting.wait_for_progress(
        is_ready, f"{name} (log: {log})", read_progress, POLL_SECONDS, STALL_SECONDS
    )


def _database_answers(installation: Installation) -> bool:
    engine = sa.create_engine(installation.postgres.url().get_secret_value(), poolclass=NullPool)
    try:
        with engine.connect():
            return True
    except sa.exc.OperationalError:
        return False


def _start_mlflow(
    installation: Installation, supervisor: Supervisor, print_line: Callable[[str], None]
) -> None:
    supervisor.start("mlflow")
    supervisor.start("fork-server")  # nobody waits for it: until it answers, steps are spawned
    address = installation.address("mlflow") + "/health"
    _wait(supervisor, "mlflow", lambda: is_ok(address), print_line)


def _start_airflow(
    installation: Installation, supervisor: Supervisor, print_line: Callable[[str], None]
) -> None:
    if supervisor.states()[AIRFLOW[0]] != "RUNNING":
        _migrate_airflow(installation)
    for name in AIRFLOW:
        supervisor.start(name)
    address = installation.address("airflow") + "/api/v2/monitor/health"
    for name in AIRFLOW:
        _wait(supervisor, name, lambda: _is_healthy(address), print_line)


def _migrate_airflow(installation: Installation) -> None:
    _run(installation, "airflow-migrate", "airflow", "db", "migrate")


def _load_shop(installation: Installation, command: Sequence[str]) -> None:
    _run(installation, "intent-migrate", "intent_tasks.cli", "migrate")
    if command:
        _run(installation, f"intent-{command[0]}", "intent_tasks.cli", *command)


def _run(installation: Installation, name: str, *module: str) -> None:
    log = installation.logs / f"{name}.log"
    with log.open("a") as output:
        finished = subprocess.run(
            [sys.executable, "-m", *module],
            env=configuration.shared_environment(installation),
            stdout=output,
            stderr=output,
        )
    if finished.returncode:
        raise IntentError(f"`{' '.join(module)}` failed: {last_lines(log)} (log: {log})")


def is_ok(address: str) -> bool:
    """Return whether a web address answers with success."""
    try:
        return httpx.get(address, timeout=RESPONSE_SECONDS).is_success
    except httpx.TransportError:
        return False


def _is_healthy(address: str) -> bool:
    try:
        parts = httpx.get(address, timeout=RESPONSE_SECONDS).json()
    except (httpx.TransportError, ValueError):
        return False
    required = ("metadatabase", "scheduler", "dag_processor", "triggerer")
    return all(parts.get(part, {}).get("status") == "healthy" for part in required)
