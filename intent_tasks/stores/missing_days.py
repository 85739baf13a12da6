"""Shop days that were never predicted, and how to repair that."""

from datetime import date, timedelta

from intent_tasks.settings import Settings
from intent_tasks.stores import ledger, postgres
from intent_tasks.stores.extracting.conservation import spans
from intent_tasks.tables import SNAPSHOT_STEP

_MOST_RUNS = 5
"""Spans of days for which a command is shown."""


def missing_days(settings: Settings, until: date) -> list[date]:
    """Return the days since the first published one, up to a day, that were never published.

    Not those that the zone leaves out, nor, with INTENT_EMPTY_DAY=skip, those without events.
    """
    with postgres.reading(settings.pipeline_url) as connection:
        published = set(ledger.read_receipts(connection, "publish"))
        copied = ledger.read_receipts(connection, SNAPSHOT_STEP)
    if not published:
        return []
    if settings.empty_day == "skip":
        published |= {
            day for day, receipt in copied.items() if receipt.get("rows_in_warehouse") == 0
        }
    first = min(published)
    between = (first + timedelta(days=n) for n in range((until - first).days + 1))
    return [day for day in between if day not in published and settings.definition.is_day(day)]


def described(settings: Settings, missing: list[date]) -> str:
    """Return which days were never predicted, and the commands that predict them."""
    commands = [_backfill(settings, first, last) for first, last in _runs(missing)]
    more = " …" if len(commands) > _MOST_RUNS else ""
    return (
        f"{len(missing)} shop days were never predicted: {spans(missing)}. Run them now: "
        f"{'; '.join(f'`{command}`' for command in commands[:_MOST_RUNS])}{more}"
    )


def _runs(days: list[date]) -> list[tuple[date, date]]:
    """Return runs of days without a gap, each as its first and last day."""
    found: list[tuple[date, date]] = []
    for day in days:
        if found and day - found[-1][1] == timedelta(days=1):
            found[-1] = (found[-1][0], day)
        else:
            found.append((day, day))
    return found


def _backfill(settings: Settings, first: date, last: date) -> str:
    # The run of a day has the time of the cron on that day for its logical date, in any zone.
    definition = settings.definition
    begin, end = definition.day_start(first), definition.day_end(last) - timedelta(seconds=1)
    return (
        f"airflow backfill create --dag-id intent_daily --from-date {begin.isoformat()} "
        f"--to-date {end.isoformat()} --reprocess-behavior failed"
    )
