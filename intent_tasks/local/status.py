"""Show the servers, the last day of each step, the champion, and missing days.

The tables are plain text, because a library for them costs more to import than the database driver.
"""

from collections.abc import Callable
from pathlib import Path

from intent_tasks.core.day_ranges import describe_days
from intent_tasks.errors import IntentError, Refused, TemporaryFailure
from intent_tasks.local.champion import read_champion
from intent_tasks.local.installation import Installation
from intent_tasks.local.supervisor_client import PROGRAMS, SupervisorClient
from intent_tasks.settings import Settings, load_settings
from intent_tasks.steps import last_day_over
from intent_tasks.stores import day_status
from intent_tasks.stores.missing_days import describe_missing, missing_days

STEPS = ("extract", "publish", "measure", "register")

PrintLine = Callable[[str], None]


def status(home: Path, print_line: PrintLine) -> None:
    """Print the servers, the champion, the last day of each step, and missing days.

    Raises:
        Refused: there is no installation, or shop days were never predicted.
    """
    installation = Installation.load(home)
    if installation is None:
        raise Refused(f"There is no installation in {home}. Start one with `intent up`.")
    print_line(_describe_servers(installation))
    settings = load_settings()
    for describe in (_describe_champion, _describe_steps, _describe_conservation):
        try:
            print_line(describe(settings))
        except IntentError as error:
            print_line(f"{type(error).__name__}: {error}")
    _print_missing_days(settings, print_line)


def _print_missing_days(settings: Settings, print_line: PrintLine) -> None:
    """Print the days without predictions, or refuse; a recording is predicted on demand."""
    try:
        missing = missing_days(settings, last_day_over(settings))
    except TemporaryFailure:  # printed above
        return
    if missing and settings.last_day is None:
        raise Refused(describe_missing(settings, missing))
    if missing:
        print_line(describe_missing(settings, missing))


def _describe_servers(installation: Installation) -> str:
    supervisor = SupervisorClient(installation)
    states = supervisor.states() if supervisor.answers() else {}
    rows = [(name, states.get(name, "STOPPED"), _address(installation, name)) for name in PROGRAMS]
    header = ("server", "state", "address")
    return f"Servers of {installation.home}\n{format_table([header, *rows])}"


def _address(installation: Installation, program: str) -> str:
    if program == "postgres":
        return f"127.0.0.1:{installation.ports['postgres']}"
    servers = {"mlflow": "mlflow", "airflow-api": "airflow"}
    return installation.address(servers[program]) if program in servers else ""


def format_table(rows: list[tuple[str, ...]]) -> str:
    """Return the rows as lines with aligned columns; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    rule = tuple("-" * width for width in widths)
    lines = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (rows[0], rule, *rows[1:])
    )
    return "\n".join(f"  {line}".rstrip() for line in lines)


def _describe_champion(settings: Settings) -> str:
    version = read_champion(settings)
    if version is None:
        return (
            "Champion: none. Promote a version in the MLflow UI or with `intent promote VERSION`."
        )
    return f"Champion: version {version} of {settings.model_name}"


def _describe_steps(settings: Settings) -> str:
    rows = [
        (step, day.isoformat(), f"{finished_at:%Y-%m-%d %H:%M} UTC")
        for step, day, finished_at in day_status.last_runs(settings, STEPS)
    ]
    return f"Last day of each step\n{format_table([('step', 'last day', 'finished'), *rows])}"


def _describe_conservation(settings: Settings) -> str:
    """Return breaches of conservation, and the days published from outdated rows."""
    lines = [f"{day or 'All time'}: {breach}" for day, breach in day_status.breaches(settings)]
    if stale := day_status.stale_days(settings):
        lines.append(f"Rows have changed since these days were published: {describe_days(stale)}")
    return "\n".join(lines) or "Every row and every customer is accounted for."
