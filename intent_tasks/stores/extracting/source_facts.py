"""What schema `shop` holds, told by Postgres itself: tables, columns, rights, days and buyers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.core.rules import AGAIN, MOST_EARLY_SECONDS, OK, REQUIRED, broken_rules
from intent_tasks.definition import EVENT_TYPES, HORIZONS_DAYS
from intent_tasks.settings import Settings
from intent_tasks.stores.extracting import source
from intent_tasks.stores.extracting.intake import most_set_aside
from intent_tasks.stores.extracting.repeats import hashes
from intent_tasks.tables import events


@dataclass(frozen=True)
class Column:
    """One column of a table or view: its type as Postgres names it, and whether it fits."""

    name: str
    type_name: str
    fits: bool


def columns(connection: sa.Connection, table: sa.Table) -> dict[str, Column] | None:
    """Return the columns of the contract that a table of the shop has; None: no such table."""
    inspector = sa.inspect(connection)
    if not inspector.has_table(table.name, table.schema):
        return None
    found = {c["name"]: c["type"] for c in inspector.get_columns(table.name, table.schema)}
    return {
        c.name: Column(c.name, str(found[c.name]), _fits(c.type, found[c.name]))
        for c in table.columns
        if c.name in found
    }


def _fits(wanted: sa.types.TypeEngine[Any], found: sa.types.TypeEngine[Any]) -> bool:
    """Tell whether values of a type can be read as the type of the contract without loss."""
    if isinstance(wanted, sa.DateTime):
        return isinstance(found, sa.DateTime) and bool(found.timezone)
    if isinstance(wanted, sa.Integer | sa.Double):
        return isinstance(found, sa.Numeric | sa.Float | sa.Integer)
    if isinstance(wanted, sa.Boolean):
        return isinstance(found, sa.Boolean)
    return not isinstance(found, sa.ARRAY) or isinstance(wanted, sa.ARRAY)


def may_read(connection: sa.Connection, table: sa.Table) -> bool:
    """Tell whether this role may read a table that exists."""
    query = sa.select(
        sa.func.has_schema_privilege(table.schema, "USAGE"),
        sa.func.has_table_privilege(table.fullname, "SELECT"),
    )
    return all(connection.execute(query).one())


@dataclass(frozen=True)
class Events:
    """The events of a shop in numbers.

    Args:
        rows: of all time, but for those of the future.
        customers: different ones.
        future_rows: events of more than a day after now.
        newest_future_at: when the last of them happens.
        first_day: first shop day on which an event arrived.
        last_day: last one.
        newest_at: when the newest event arrived.
        late_rows: events that arrived on a later day than they happened.
        unknown_types: event types that are not of the contract, with their rows.
        unusable_rows: rows that lack a required value.
        empty: share of rows without a value, by column.
    """

    rows: int
    customers: int
    future_rows: int
    newest_future_at: datetime | None
    first_day: date | None
    last_day: date | None
    newest_at: datetime | None
    late_rows: int
    unknown_types: Mapping[str, int]
    unusable_rows: int
    empty: Mapping[str, float]


def events_of(
    connection: sa.Connection, settings: Settings, available: Sequence[str], now: datetime
) -> Events:
    """Count the events, in one pass and one more for their types."""
    arrived = source.arrived_at(available)
    future = _future(available, now)
    past = sa.not_(sa.func.coalesce(future, sa.false()))
    late = _day(settings, arrived) > _day(settings, events.c.occurred_at)
    lacks = sa.or_(*(events.c[name].is_(None) for name in REQUIRED))
    optional = [c for c in events.columns if c.name in available and c.name not in REQUIRED]
    row = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count(events.c.customer_id.distinct()),
            sa.func.min(_day(settings, arrived)),
            sa.func.max(_day(settings, arrived)),
            sa.func.max(arrived),
            sa.func.count().filter(late),
            sa.func.count().filter(lacks),
            *(sa.func.count(c) for c in optional),
        )
        .select_from(events)
        .where(past)
    ).one()
    later = sa.select(sa.func.count(), sa.func.max(sa.func.greatest(events.c.occurred_at, arrived)))
    future_rows, newest_future_at = connection.execute(later.where(future)).one()
    kinds = sa.select(events.c.event_type, sa.func.count()).group_by(events.c.event_type)
    types: dict[str, int] = dict(connection.execute(kinds).all())
    rows = row[0]
    return Events(
        rows=rows,
        customers=row[1],
        future_rows=future_rows,
        newest_future_at=newest_future_at,
        first_day=row[2],
        last_day=row[3],
        newest_at=row[4],
        late_rows=row[5],
        unusable_rows=row[6],
        unknown_types={str(name): n for name, n in types.items() if name not in EVENT_TYPES},
        empty={c.name: 1 - n / rows for c, n in zip(optional, row[7:], strict=True) if rows},
    )


def _future(available: Sequence[str], now: datetime) -> sa.ColumnElement[bool]:
    """Tell which events happen or arrive more than a day after now."""
    until = now + timedelta(seconds=MOST_EARLY_SECONDS)
    times = [events.c[name] for name in ("occurred_at", "ingested_at") if name in available]
    return sa.or_(*(at > until for at in times))


@dataclass(frozen=True)
class Customers:
    """How the events are spread over customers.

    Args:
        count: different ones.
        busiest: customer_id with the most events; None: no event has one.
        busiest_rows: events of that one.
        returning: customers with events on several shop days.
    """

    count: int
    busiest: str | None
    busiest_rows: int
    returning: int


def customers_of(connection: sa.Connection, settings: Settings) -> Customers:
    """Count the events of each customer, in two passes."""
    day = _day(settings, events.c.occurred_at)
    each = (
        sa.select(
            sa.cast(events.c.customer_id, sa.Text).label("name"),
            sa.func.count().label("rows"),
            (sa.func.min(day) < sa.func.max(day)).label("returned"),
        )
        .where(events.c.customer_id.is_not(None))
        .group_by(events.c.customer_id)
        .cte("each")
    )
    most_first = sa.select(each.c.name, each.c.rows).order_by(each.c.rows.desc(), each.c.name)
    busiest, rows = connection.execute(most_first.limit(1)).one_or_none() or (None, 0)
    counted = sa.select(sa.func.count(), sa.func.count().filter(each.c.returned)).select_from(each)
    count, returning = connection.execute(counted).one()
    return Customers(count, busiest, rows, returning)


@dataclass(frozen=True)
class Refusable:
    """The rows of a day that an extract would set aside.

    Args:
        day: on which they arrived.
        rows: all of that day.
        by_rule: rule → rows that break it, the most first.
        most: rows that may be set aside.
    """

    day: date
    rows: int
    by_rule: Mapping[str, int]
    most: float

    @property
    def broken(self) -> int:
        """How many they are."""
        return sum(self.by_rule.values())

    @property
    def share(self) -> float:
        """Share of the day's rows."""
        return self.broken / self.rows


def refusable(settings: Settings, days: Iterable[date], most_rows: int) -> list[Refusable]:
    """Judge the rows that arrived on some days as an extract does; days without rows are left out.

    Args:
        settings: of this installation.
        days: in the order in which they are looked at.
        most_rows: after so many rows no other day is begun.
    """
    found: list[Refusable] = []
    with source.warehouse(settings) as warehouse:
        for day in days:
            if sum(each.rows for each in found) >= most_rows:
                break
            found += _judged(settings, warehouse, day)
    return found


def _judged(settings: Settings, warehouse: source.Warehouse, day: date) -> list[Refusable]:
    rows, by_rule, ids = 0, Counter[str](), [np.zeros(0, np.int64)]
    for block in warehouse.stream([day]):
        rules = broken_rules(block, repeats=False)
        usable = pc.equal(rules, OK)
        by_rule.update(rules.filter(pc.invert(usable)).to_pylist())
        ids.append(hashes(block["event_id"].filter(usable)))
        rows += block.num_rows
    together = np.concatenate(ids)
    by_rule[AGAIN] += len(together) - len(np.unique(together))
    told = {rule: count for rule, count in by_rule.most_common() if count}
    return [Refusable(day, rows, told, most_set_aside(settings, rows))] if rows else []


def _day(settings: Settings, at: sa.ColumnElement[Any]) -> sa.ColumnElement[date]:
    return sa.cast(sa.func.timezone(settings.time_zone, at), sa.Date)


def buyers(
    connection: sa.Connection, settings: Settings, anchors: Mapping[str, Sequence[date]]
) -> dict[str, int]:
    """Count, per part of the anchors, who is predicted and purchases within the longest horizon.

    The events are first brought to one row a customer and day.

    Args:
        connection: that may read the shop.
        settings: population and time zone.
        anchors: part → shop days.

    Returns:
        Part → pairs of anchor and customer, as training counts them.
    """
    day = _day(settings, events.c.occurred_at)
    bought = sa.func.bool_or(events.c.event_type == "purchase")
    active = (
        sa.select(events.c.customer_id, day.label("day"), bought.label("bought"))
        .group_by(events.c.customer_id, day)
        .cte("active")
    )
    asked = sa.values(sa.column("part", sa.Text), sa.column("anchor", sa.Date), name="asked").data(
        [(part, anchor) for part, days in anchors.items() for anchor in days]
    )
    after, before = active.alias("later"), active.alias("earlier")
    pair = (asked.c.part, asked.c.anchor)
    buying = (
        sa.select(*pair, after.c.customer_id)
        .where(
            after.c.bought,
            after.c.day > asked.c.anchor,
            after.c.day <= asked.c.anchor + max(HORIZONS_DAYS),
        )
        .distinct()
        .cte("buying")
    )
    known = (
        sa.select(*pair, before.c.customer_id)
        .where(
            before.c.day <= asked.c.anchor,
            before.c.day > asked.c.anchor - settings.population_days,
        )
        .distinct()
        .cte("known")
    )
    same = sa.and_(buying.c.anchor == known.c.anchor, buying.c.part == known.c.part)
    counted = (
        sa.select(buying.c.part, sa.func.count())
        .join(known, sa.and_(same, buying.c.customer_id == known.c.customer_id))
        .group_by(buying.c.part)
    )
    found: dict[str, int] = dict(connection.execute(counted).all())
    return {part: found.get(part, 0) for part in anchors}


def distinct_buyers(connection: sa.Connection, settings: Settings, first: date, last: date) -> int:
    """Count the customers who purchased from one shop day to another."""
    definition = settings.definition
    query = sa.select(sa.func.count(events.c.customer_id.distinct())).where(
        events.c.event_type == "purchase",
        events.c.occurred_at >= definition.day_start(first),
        events.c.occurred_at < definition.day_end(last),
    )
    return int(connection.scalar(query) or 0)
