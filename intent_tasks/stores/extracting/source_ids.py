"""Numbers about the ids of the shop's events, for `intent check-source`."""

from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import sqlalchemy as sa

from intent_tasks.core.rules import IDENTITY
from intent_tasks.formats.sentinels import NOBODY
from intent_tasks.settings import Settings
from intent_tasks.stores import id_spelling
from intent_tasks.stores.extracting import source

SENTINELS = (*NOBODY, "", "not set", "-", "--", "---", "?", ".", "_", "n.a.")
"""Texts in lower case that systems write instead of a missing id."""

SENTINEL_COLUMNS = ("customer_id", "product_id")
"""Columns in which a sentinel would be taken for a customer or a product."""


@dataclass(frozen=True)
class Customers:
    """The distribution of events over customers.

    Args:
        count: number of customers.
        busiest: customer_id with the most events; None: no event has one.
        busiest_rows: events of that customer.
        returning: customers with events on several shop days.
    """

    count: int
    busiest: str | None
    busiest_rows: int
    returning: int


def customers_of(connection: sa.Connection, settings: Settings) -> Customers:
    """Count customers and their events, in two passes."""
    rows_of = source.relation(connection)
    day = source.day_of(settings, rows_of.c.occurred_at)
    each = (
        sa.select(
            rows_of.c.customer_id.label("name"),
            sa.func.count().label("rows"),
            (sa.func.min(day) < sa.func.max(day)).label("returned"),
        )
        .where(rows_of.c.customer_id.is_not(None))
        .group_by(rows_of.c.customer_id)
        .cte("each")
    )
    most_first = sa.select(each.c.name, each.c.rows).order_by(each.c.rows.desc(), each.c.name)
    busiest, rows = connection.execute(most_first.limit(1)).one_or_none() or (None, 0)
    counted = sa.select(sa.func.count(), sa.func.count().filter(each.c.returned)).select_from(each)
    count, returning = connection.execute(counted).one()
    return Customers(count, busiest, rows, returning)


class Sentinel(NamedTuple):
    """A text instead of a missing id, its column and the number of events with it."""

    column: str
    value: str
    rows: int


def sentinels_of(connection: sa.Connection) -> list[Sentinel]:
    """Count the events with a sentinel as customer or product, most first."""
    rows_of = source.relation(connection)
    found: list[Sentinel] = []
    for column in (rows_of.c[name] for name in SENTINEL_COLUMNS if name in rows_of.c):
        is_none = sa.func.lower(id_spelling.same_id(column)).in_(SENTINELS)
        query = sa.select(column, sa.func.count()).group_by(column).having(is_none)
        found += [Sentinel(column.name, *row) for row in connection.execute(query)]
    return sorted(found, key=lambda each: (-each.rows, each.column, each.value))


def collisions_of(connection: sa.Connection) -> int:
    """Count the event ids of several different events; see `core.rules.IDENTITY`."""
    rows_of = source.relation(connection)
    identity = [rows_of.c[name] for name in IDENTITY if name in rows_of.c]
    # Hashes of eight bytes are grouped faster than texts, and in less memory.
    event = sa.func.hashtextextended(rows_of.c.event_id, 0)
    what = sa.func.hash_record_extended(sa.func.row(*identity), 0)
    ids = (
        sa.select(event.label("event"))
        .where(rows_of.c.event_id.is_not(None))
        .group_by(event)
        .having(sa.func.min(what) != sa.func.max(what))
        .subquery()
    )
    return int(connection.scalar(sa.select(sa.func.count()).select_from(ids)) or 0)


MOST_OF_ONE_DAY = 0.5
"""A larger share of all events on one day of arrival means that they were loaded together."""

LEAST_DAYS_TOGETHER = 7
"""The events of that day must have happened on so many shop days at least."""


def loaded_at_once(connection: sa.Connection, settings: Settings) -> str:
    """Return a message if most events arrived on one day; else an empty text."""
    rows_of = source.relation(connection)
    at = source.arrival(rows_of)
    arrived, happened = (source.day_of(settings, t) for t in (at, rows_of.c.occurred_at))
    rows = sa.func.count()
    query = (
        sa.select(arrived, rows, sa.func.count(happened.distinct()), sa.func.sum(rows).over())
        .where(at >= source.FIRST_KNOWN, at < source.LAST_KNOWN)
        .group_by(arrived)
        .order_by(rows.desc(), arrived)
    )
    found = connection.execute(query.limit(1)).one_or_none()
    if found is None:
        return ""
    day, count, days, total = *found[:3], int(found[3])
    if days < LEAST_DAYS_TOGETHER or count <= MOST_OF_ONE_DAY * total:
        return ""
    which = "All" if count == total else f"{count:,} of {total:,}"
    return (
        f"{which} events arrived on one day, {day}, and happened on {days:,} days: ingested_at "
        "holds when they were loaded, so nothing counts as known before. Let the view give them "
        f"the time they happened, CASE WHEN ingested_at < '{day + timedelta(days=1)}' THEN "
        "occurred_at ELSE ingested_at END AS ingested_at, and delete the snapshots. "
    )
