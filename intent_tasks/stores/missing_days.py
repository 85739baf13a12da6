"""Shop days that were never predicted, and how to repair that."""

from datetime import date, timedelta

from intent_tasks.core.day_ranges import day_ranges, describe_days
from intent_tasks.settings import Settings
from intent_tasks.stores.day_status import published_and_empty_days

_MOST_RUNS = 5
"""Spans of days for which a command is shown."""


def missing_days(settings: Settings, until: date) -> list[date]:
    """Return the days since the first published one, up to a day, that were never published.

    Not those that the zone leaves out, nor, with INTENT_EMPTY_DAY=skip, those without events.
    """
    published, empty = published_and_empty_days(settings)
    if not published:
        return []
    if settings.empty_day == "skip":
        published |= empty
    first = min(published)
    between = (first + timedelta(days=n) for n in range((until - first).days + 1))
    return [day for day in between if day not in published and settings.definition.is_day(day)]


def described(settings: Settings, missing: list[date]) -> str:
    """Return which days were never predicted, and the commands that predict them."""
    commands = [_backfill(settings, first, last) for first, last in day_ranges(missing)]
    more = " …" if len(commands) > _MOST_RUNS else ""
    return (
        f"{len(missing)} shop days were never predicted: {describe_days(missing)}. Run them now: "
        f"{'; '.join(f'`{command}`' for command in commands[:_MOST_RUNS])}{more}"
    )


def _backfill(settings: Settings, first: date, last: date) -> str:
    # The run of a day has the time of the cron on that day for its logical date, in any zone.
    definition = settings.definition
    begin, end = definition.day_start(first), definition.day_end(last) - timedelta(seconds=1)
    return (
        f"airflow backfill create --dag-id intent_daily --from-date {begin.isoformat()} "
        f"--to-date {end.isoformat()} --reprocess-behavior failed"
    )
