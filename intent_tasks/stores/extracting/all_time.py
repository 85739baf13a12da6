"""Every row of the warehouse, whenever it arrived, against the days that were copied.

Day by day everything can add up while rows are in no day that was ever looked at: those that came
in late, those of a time that has not come, those without a time. So one query counts all of them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.settings import Settings
from intent_tasks.stores import postgres, snapshots
from intent_tasks.stores.extracting import source
from intent_tasks.stores.extracting.conservation import spans
from intent_tasks.tables import events, runs

STEP = "all_time"
"""Ledger rows of this name hold the newest count; `intent.conservation` reads them."""

_MOST_EARLY = timedelta(days=1)
"""Clocks of other servers may be so much ahead; what arrives later than that is of the future."""

_DAYS_NAMED = 200
"""Letters of a receipt that name days."""


@dataclass(frozen=True)
class Counted:
    """Rows of `shop.events`.

    Args:
        by_day: those of each shop day that was asked for.
        before: those that arrived before it.
        later: those that arrived after it, up to now.
        future: those that arrive more than a day after now.
        without_time: those that have neither `ingested_at` nor `occurred_at`.
        newest_at: when the last one of the future arrives.
    """

    by_day: Mapping[date, int]
    before: int
    later: int
    future: int
    without_time: int
    newest_at: str | None

    @property
    def total(self) -> int:
        """All rows that there are."""
        apart = self.before + self.later + self.future + self.without_time
        return sum(self.by_day.values()) + apart


def count(warehouse: source.Warehouse, first: date, last: date, now: datetime) -> Counted:
    """Count all rows in one query, those from one shop day to another by day."""
    definition = warehouse.definition
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    end = definition.day_end(last)
    borders = [*map(definition.day_start, days), end, max(end, now + _MOST_EARLY)]
    instant = events.c.occurred_at.type
    arrived = source.arrived_at(warehouse.types)
    place = sa.func.width_bucket(
        arrived,
        sa.cast(postgresql.array([sa.literal(b, instant) for b in borders]), sa.ARRAY(instant)),
    )
    query = sa.select(
        place.label("place"),
        sa.func.count().label("rows"),
        sa.cast(sa.func.max(arrived), sa.Text).label("newest_at"),
    )
    found = warehouse.session.read(query.select_from(events).group_by(place)).read_all()
    rows = {row["place"]: row for row in found.to_pylist()}

    def of(place: int | None) -> int:
        return int(rows[place]["rows"]) if place in rows else 0

    later, future = len(days) + 1, len(days) + 2
    return Counted(
        {day: of(number) for number, day in enumerate(days, 1)},
        before=of(0),
        later=of(later),
        future=of(future),
        without_time=of(None),
        newest_at=rows[future]["newest_at"] if future in rows else None,
    )


def copied(settings: Settings) -> dict[date, int]:
    """Return the days that were copied, with the rows that the warehouse held then."""
    query = sa.select(runs.c.as_of_date, runs.c.receipt).where(runs.c.step == snapshots.STEP)
    with postgres.reading(settings.pipeline_url) as connection:
        return {day: receipt["rows_in_warehouse"] for day, receipt in connection.execute(query)}


def uncopied(counted: Counted, known: Mapping[date, int], first: date) -> dict[date, int]:
    """Return the days with rows that are in no snapshot, and how many.

    Fewer rows than were copied are no loss: a shop may delete what is old.

    Args:
        counted: what the warehouse holds.
        known: what was copied.
        first: from this day on, every day has to be copied.
    """
    more = {
        day: rows - known.get(day, 0)
        for day, rows in counted.by_day.items()
        if day in known or day >= first
    }
    return {day: rows for day, rows in more.items() if rows > 0}


def record(
    settings: Settings, as_of_date: date, counted: Counted, missing: Mapping[date, int]
) -> None:
    """Write down what was counted, for the view."""
    receipt: dict[str, Any] = {
        "as_of_date": str(as_of_date),
        "rows": counted.total,
        "rows_of_days": sum(counted.by_day.values()),
        "rows_before": counted.before,
        "rows_later": counted.later,
        "rows_future": counted.future,
        "rows_without_time": counted.without_time,
        "rows_in_no_snapshot": sum(missing.values()),
        "days_in_no_snapshot": spans(sorted(missing))[:_DAYS_NAMED],
        "last_day_in_no_snapshot": str(max(missing)) if missing else None,
        "newest_at": counted.newest_at,
    }
    with postgres.writing(settings, STEP, as_of_date) as connection:
        postgres.record(connection, STEP, as_of_date, receipt)
