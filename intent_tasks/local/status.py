"""Show the servers, the last day of each step, the champion, and missing days."""

from pathlib import Path

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from intent_tasks.errors import IntentError, Refused, TemporaryFailure
from intent_tasks.local.champion import read_champion
from intent_tasks.local.installation import Installation
from intent_tasks.local.supervisor import PROGRAMS, Supervisor
from intent_tasks.settings import Settings, load_settings
from intent_tasks.steps import last_day_over
from intent_tasks.stores import postgres
from intent_tasks.stores.extracting import conservation
from intent_tasks.stores.missing_days import described, missing_days
from intent_tasks.tables import runs

STEPS = ("extract", "publish", "measure", "register")


def status(home: Path, console: Console) -> None:
    """Print the servers, the champion, the last day of each step, and missing days.

    Raises:
        Refused: there is no installation, or shop days were never predicted.
    """
    installation = Installation.load(home)
    if installation is None:
        raise Refused(f"There is no installation in {home}. Start one with `intent up`.")
    console.print(_servers_table(installation))
    settings = load_settings()
    for part in (_describe_champion, _steps_table, _describe_conservation):
        try:
            console.print(part(settings))
        except IntentError as error:
            console.print(f"[red]{error}[/red]")
    _print_missing_days(settings, console)


def _print_missing_days(settings: Settings, console: Console) -> None:
    """Print the days without predictions, or refuse; a recording is predicted on demand."""
    try:
        missing = missing_days(settings, last_day_over(settings))
    except TemporaryFailure:  # printed above
        return
    if missing and settings.last_day is None:
        raise Refused(described(settings, missing))
    if missing:
        console.print(described(settings, missing))


def _servers_table(installation: Installation) -> Table:
    supervisor = Supervisor(installation)
    answers = supervisor.answers()
    states = supervisor.states() if answers else {}
    table = Table("server", "state", "address", title=f"Servers of {installation.home}")
    for name in PROGRAMS:
        table.add_row(name, states.get(name, "STOPPED"), _address(installation, name))
    return table


def _address(installation: Installation, program: str) -> str:
    if program == "postgres":
        return f"127.0.0.1:{installation.ports['postgres']}"
    servers = {"mlflow": "mlflow", "airflow-api": "airflow"}
    return installation.address(servers[program]) if program in servers else ""


def _describe_champion(settings: Settings) -> str:
    version = read_champion(settings)
    if version is None:
        return (
            "Champion: none. Promote a version in the MLflow UI or with `intent promote VERSION`."
        )
    return f"Champion: version {version} of {settings.model_name}"


def _steps_table(settings: Settings) -> Table:
    query = (
        sa.select(runs.c.step, sa.func.max(runs.c.as_of_date), sa.func.max(runs.c.finished_at))
        .where(runs.c.step.in_(STEPS))
        .group_by(runs.c.step)
    )
    table = Table("step", "last day", "finished", title="Last day of each step")
    with postgres.reading(settings.pipeline_url) as connection:
        for step, day, finished_at in sorted(connection.execute(query).tuples()):
            table.add_row(step, day.isoformat(), f"{finished_at:%Y-%m-%d %H:%M} UTC")
    return table


def _describe_conservation(settings: Settings) -> str:
    """Return breaches of conservation, and the days published from outdated rows."""
    with postgres.reading(settings.pipeline_url) as connection:
        breaches = conservation.breaches(connection)
        stale = conservation.stale(connection, settings)
    lines = [f"[red]{day or 'All time'}: {breach}[/red]" for day, breach in breaches]
    if stale:
        lines.append(
            f"Rows have changed since these days were published: {conservation.spans(stale)}"
        )
    return "\n".join(lines) or "Every row and every customer is accounted for."
