"""Shop days that were never predicted, and the commands that predict them."""

from datetime import date, timedelta

from intent_tasks.core.day_ranges import day_ranges, describe_days
from intent_tasks.settings import Settings
from intent_tasks.stores.day_status import published_and_empty_days

_MAX_COMMANDS = 5
"""Maximum number of commands in a message."""


def missing_days(settings: Settings, until: date) -> list[date]:
    """Return the days from the first published one to a day that were never published.

    Days that the time zone skips are not missing. With INTENT_EMPTY_DAY=skip, nor are days without
    events.
    """
    published, empty = published_and_empty_days(settings)
    if not published:
        return []
    if settings.empty_day == "skip":
        published |= empty
    first = min(published)
    between = (first + timedelta(days=n) for n in range((until - first).days + 1))
    return [day for day in between if day not in published and settings.definition.is_day(day)]


def describe_missing(settings: Settings, missing: list[date]) -> str:
    """Return a message with the missing days and the commands that predict them."""
    commands = [_backfill(settings, first, last) for first, last in day_ranges(missing)]
    more = " …" if len(commands) > _MAX_COMMANDS else ""
    return (
        f"{len(missing)} shop days were never predicted: {describe_days(missing)}. Run them now: "
        f"{'; '.join(f'`{command}`' for command in commands[:_MAX_COMMANDS])}{more}"
    )


def _backfill(settings: Settings, first: date, last: date) -> str:
    # The logical date of a run is the time of the cron on its day, in any zone.
    definition = settings.definition
    begin, end = definition.day_start(first), definition.day_end(last) - timedelta(seconds=1)
    return (
        f"airflow backfill create --dag-id intent_daily --from-date {begin.isoformat()} "
        f"--to-date {end.isoformat()} --reprocess-behavior failed"
    )
