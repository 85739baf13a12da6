"""Compare all rows of the warehouse with the days that were copied.

Each day can add up while rows are in no day that was extracted: late rows, rows of the future, rows
without a time. So one query counts all rows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from intent_tasks.core.day_ranges import describe_days
from intent_tasks.settings import Settings
from intent_tasks.stores import ledger, postgres, snapshots
from intent_tasks.stores.extracting import source
from intent_tasks.stores.extracting.source import Arrived
from intent_tasks.tables import events, runs

STEP = "all_time"
"""Step of the ledger rows with the newest count, which `intent.conservation` reads."""

_MOST_EARLY = timedelta(days=1)
"""A row that arrives more than this after now is of the future; clocks of servers differ."""

_DAYS_NAMED = 200
"""Most characters for the names of days in a receipt."""


@dataclass(frozen=True)
class Counts:
    """Numbers of rows of `shop.events` in relation to some days.

    Args:
        total: all rows.
        before: rows that arrived before the days.
        of_days: rows that arrived on the days.
        future: rows that arrive more than a day after now, and after the days.
        without_time: rows with neither `ingested_at` nor `occurred_at`.
        newest_at: the latest arrival.
    """

    total: int
    before: int
    of_days: int
    future: int
    without_time: int
    newest_at: str | None

    @property
    def later(self) -> int:
        """Return the rows that arrived after the days, until now."""
        return self.total - self.before - self.of_days - self.future - self.without_time


def count(warehouse: source.Warehouse, first: date, last: date, now: datetime) -> Counts:
    """Count all rows in one pass without sorting or grouping."""
    start, end = warehouse.definition.day_start(first), warehouse.definition.day_end(last)
    arrived = source.arrived_at(warehouse.types)
    rows = sa.func.count()
    query = sa.select(
        rows.label("total"),
        rows.filter(arrived < start).label("before"),
        rows.filter(arrived >= start, arrived < end).label("of_days"),
        rows.filter(arrived >= max(end, now + _MOST_EARLY)).label("future"),
        rows.filter(arrived.is_(None)).label("without_time"),
        sa.cast(sa.func.max(arrived), sa.Text).label("newest_at"),
    )
    found = warehouse.session.read(query.select_from(events)).read_all()
    return Counts(**found.to_pylist()[0])


def copied(settings: Settings) -> dict[date, int]:
    """Return the copied days, with the rows of the warehouse at that time."""
    query = sa.select(runs.c.as_of_date, runs.c.receipt).where(runs.c.step == snapshots.STEP)
    with postgres.reading(settings.pipeline_url) as connection:
        return {day: receipt["rows_in_warehouse"] for day, receipt in connection.execute(query)}


def uncopied(arrived: Mapping[date, Arrived], known: Mapping[date, int]) -> dict[date, int]:
    """Return the days with rows that are in no snapshot, and the number of these rows.

    Fewer rows than were copied are no loss, because a shop may delete old rows.
    """
    more = {day: found.rows - known.get(day, 0) for day, found in arrived.items()}
    return {day: rows for day, rows in more.items() if rows > 0}


def record(
    settings: Settings, as_of_date: date, counted: Counts, arrived: Mapping[date, Arrived]
) -> None:
    """Record the counts, and the rows that are in no snapshot, for the view."""
    missing = uncopied(arrived, copied(settings))
    receipt: dict[str, Any] = {
        "as_of_date": str(as_of_date),
        "rows": counted.total,
        "rows_of_days": counted.of_days,
        "rows_before": counted.before,
        "rows_later": counted.later,
        "rows_future": counted.future,
        "rows_without_time": counted.without_time,
        "rows_in_no_snapshot": sum(missing.values()),
        "days_in_no_snapshot": describe_days(sorted(missing))[:_DAYS_NAMED],
        "last_day_in_no_snapshot": str(max(missing)) if missing else None,
        "newest_at": counted.newest_at if counted.future else None,
    }
    ledger.finish_step(settings, STEP, as_of_date, receipt)
