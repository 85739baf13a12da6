"""Show the rows that were set aside, release them, or drop them."""

import getpass
import json
from datetime import date
from typing import TYPE_CHECKING, Annotated

import typer

from intent_tasks.commands.arguments import day as day_of
from intent_tasks.errors import BadInput, Refused
from intent_tasks.settings import Settings, load_settings

if TYPE_CHECKING:
    from intent_tasks.stores.extracting.quarantine import Found

app = typer.Typer(no_args_is_help=True, help=__doc__)

MOST_SHOWN = 20

Day = Annotated[str | None, typer.Option(help="shop day of arrival, YYYY-MM-DD")]
Source = Annotated[str | None, typer.Option(help="file that holds the rows")]
Rule = Annotated[str | None, typer.Option(help="broken rule, as `list` shows it")]
Row = Annotated[str | None, typer.Option(help="one row, by its id in `show`")]
Reason = Annotated[str, typer.Option(help="reason; stored with the row")]
Yes = Annotated[bool, typer.Option("--yes", help="do it; default: only show it")]


def _source(day: str | None, source: str | None) -> str | None:
    from intent_tasks.stores.extracting import quarantine

    if day is not None and source is not None:
        raise BadInput("Name a day or a file, not both.")
    return quarantine.arrivals_of(day_of(day)) if day is not None else source


@app.command(name="list")
def list_() -> None:
    """Count the rows that are set aside, by origin, rule and state.

    The command also counts unreadable values of files, which are stored as null.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from intent_tasks.stores import postgres
    from intent_tasks.stores.collecting import file_ledger
    from intent_tasks.stores.extracting import quarantine

    with postgres.reading(load_settings().pipeline_url) as connection:
        counted, lost = quarantine.count(connection), file_ledger.read_unreadable(connection)
    table = Table("from", "rule", "state", "rows")
    for source, rule, state, count in counted:
        table.add_row(Text(source), Text(rule), state, str(count))
    Console().print(table if counted else "Nothing is set aside.")
    for path, unreadable in lost.items():
        counts = ", ".join(f"{column} {count:,}" for column, count in unreadable.items())
        typer.echo(f"Values that cannot be read and are null, of {path}: {counts}.")


@app.command()
def show(day: Day = None, source: Source = None, rule: Rule = None, row: Row = None) -> None:
    """Show rows that are set aside, as they arrived."""
    rows = _found(load_settings(), day, source, rule, row)
    for found in rows[:MOST_SHOWN]:
        typer.echo(_shown(found))
    if len(rows) > MOST_SHOWN:
        typer.echo(f"… and {len(rows) - MOST_SHOWN} more: narrow it with --day, --rule or --row.")


@app.command()
def release(
    reason: Reason,
    day: Day = None,
    source: Source = None,
    rule: Rule = None,
    row: Row = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="COLUMN=VALUE to correct the rows; default: unchanged"),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option("--format", help="read lines of files in this format instead of their own"),
    ] = None,
    yes: Yes = False,
) -> None:
    """Release rows, corrected or unchanged, and copy their days again."""
    from intent_tasks.stores.extracting import corrections
    from intent_tasks.stores.extracting import release as deciding

    settings = load_settings()
    correction = corrections.parse(change or [])
    rows = _undecided(settings, day, source, rule, row)
    with_what = f" with {json.dumps(correction)}" if correction else " as they are"
    decision = deciding.Decision(getpass.getuser(), reason, correction, layout)
    if not yes:
        shown = rows[:MOST_SHOWN]
        for found, why in zip(shown, deciding.obstacles(settings, shown, decision), strict=True):
            typer.echo(f"{_shown(found)}\n  → {f'stays out: {why}' if why else 'would go in'}")
        typer.echo(f"{len(rows)} rows would go in{with_what}, unless said otherwise. Add --yes.")
        return
    done = deciding.release(settings, rows, decision)
    typer.echo(f"{done.count:,} rows went in{with_what}.")
    for why, count in done.stay.most_common():
        typer.echo(f"{count:,} stay out: {why}.")
    _report_stale(done.stale)


@app.command()
def drop(
    reason: Reason,
    day: Day = None,
    source: Source = None,
    rule: Rule = None,
    row: Row = None,
    yes: Yes = False,
) -> None:
    """Leave rows out for good; their content stays stored."""
    from intent_tasks.stores.extracting import release as deciding

    settings = load_settings()
    rows = _undecided(settings, day, source, rule, row)
    if not yes:
        for found in rows[:MOST_SHOWN]:
            typer.echo(_shown(found))
        typer.echo(f"{len(rows)} rows would be left out for good. Add --yes.")
        return
    stale = deciding.drop(settings, rows, deciding.Decision(getpass.getuser(), reason, {}))
    typer.echo(f"{len(rows)} rows are left out for good.")
    _report_stale(stale)


def _found(
    settings: Settings, day: str | None, source: str | None, rule: str | None, row: str | None
) -> list["Found"]:
    from intent_tasks.stores import postgres
    from intent_tasks.stores.extracting import quarantine

    with postgres.reading(settings.pipeline_url) as connection:
        rows = quarantine.find(connection, source=_source(day, source), rule=rule, row=row)
    if not rows:
        raise Refused("No row is set aside that fits. `intent quarantine list` shows what is.")
    return rows


def _undecided(
    settings: Settings, day: str | None, source: str | None, rule: str | None, row: str | None
) -> list["Found"]:
    from intent_tasks.stores.extracting import quarantine

    if (day, source, rule, row) == (None, None, None, None):
        raise BadInput("Say which rows: --day, --source, --rule or --row.")
    rows = _found(settings, day, source, rule, row)
    # A decision about many is about what is undecided; one row may be decided about again.
    return rows if row else [found for found in rows if found.state == quarantine.HELD] or rows


def _shown(found: "Found") -> str:
    """Return a row in two lines; json escapes whatever could move a terminal's cursor."""
    decided = f", {found.state} by {found.decided_by}: {found.reason}" if found.decided_by else ""
    cut = "" if found.replayable else " (cut)"
    return (
        f"{found.digest[:12]}  {found.source}, row {found.row_number}: {found.rule}"
        f"{decided}\n  {json.dumps(found.payload)[:600]}{cut}"
    )


def _report_stale(days: list[date]) -> None:
    from intent_tasks.core.day_ranges import describe_days

    if days:
        typer.echo(
            f"Published from other rows than there are now: {describe_days(days)}. Run these "
            "days again: `airflow backfill create --dag-id intent_daily --from-date "
            f"{days[0]} --to-date {days[-1]} --reprocess-behavior completed`."
        )
