"""What runs here, and how far the data, the predictions and the feedback are."""

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

STEPS_SHOWN = ("extract", "publish", "measure", "register")


def status(home: Path, console: Console) -> None:
    """Print the servers, the last day of each step, the champion and the freshness.

    Raises:
        Refused: nothing was ever started here; or shop days were never predicted.
    """
    installation = Installation.load(home)
    if installation is None:
        raise Refused(f"There is no installation in {home}: start one with `intent up`.")
    console.print(_servers(installation))
    settings = load_settings()
    for part in (_champion, _days, _kept):
        try:
            console.print(part(settings))
        except IntentError as error:
            console.print(f"[red]{error}[/red]")
    _say_missing(settings, console)


def _say_missing(settings: Settings, console: Console) -> None:
    """Name the days that were never predicted; those of a recording are predicted on demand."""
    try:
        missing = missing_days(settings, last_day_over(settings))
    except TemporaryFailure:  # said above
        return
    if missing and settings.last_day is None:
        raise Refused(described(settings, missing))
    if missing:
        console.print(described(settings, missing))


def _servers(installation: Installation) -> Table:
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
    known = {"mlflow": "mlflow", "airflow-api": "airflow"}
    return installation.address(known[program]) if program in known else ""


def _champion(settings: Settings) -> str:
    version = read_champion(settings)
    if version is None:
        return (
            "Champion: none. Promote a version in the MLflow UI or with `intent promote VERSION`."
        )
    return f"Champion: version {version} of {settings.model_name}"


def _days(settings: Settings) -> Table:
    query = (
        sa.select(runs.c.step, sa.func.max(runs.c.as_of_date), sa.func.max(runs.c.finished_at))
        .where(runs.c.step.in_(STEPS_SHOWN))
        .group_by(runs.c.step)
    )
    table = Table("step", "last day", "finished", title="How far the steps are")
    with postgres.reading(settings.pipeline_url) as connection:
        for step, day, finished_at in sorted(connection.execute(query).tuples()):
            table.add_row(step, day.isoformat(), f"{finished_at:%Y-%m-%d %H:%M} UTC")
    return table


def _kept(settings: Settings) -> str:
    """Say whether everything is accounted for, and what is older than its rows."""
    with postgres.reading(settings.pipeline_url) as connection:
        breaches = conservation.breaches(connection)
        stale = conservation.stale(connection, settings)
    said = [f"[red]{day or 'All time'}: {breach}[/red]" for day, breach in breaches]
    if stale:
        said.append(f"Published from other rows than there are now: {conservation.spans(stale)}")
    return "\n".join(said) or "Every row and every customer is accounted for."
