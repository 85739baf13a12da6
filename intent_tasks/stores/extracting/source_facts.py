"""What schema `shop` holds, told by Postgres itself: tables, columns, rights, days and buyers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from intent_tasks.core.rules import REQUIRED
from intent_tasks.definition import EVENT_TYPES, HORIZONS_DAYS
from intent_tasks.settings import Settings
from intent_tasks.stores.extracting import source
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
        rows: of all time.
        customers: different ones.
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
    first_day: date | None
    last_day: date | None
    newest_at: datetime | None
    late_rows: int
    unknown_types: Mapping[str, int]
    unusable_rows: int
    empty: Mapping[str, float]


def events_of(connection: sa.Connection, settings: Settings, available: Sequence[str]) -> Events:
    """Count the events, in one pass and one more for their types."""
    arrived = source.arrived_at(available)
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
        ).select_from(events)
    ).one()
    kinds = sa.select(events.c.event_type, sa.func.count()).group_by(events.c.event_type)
    types: dict[str, int] = dict(connection.execute(kinds).all())
    rows = row[0]
    return Events(
        rows=rows,
        customers=row[1],
        first_day=row[2],
        last_day=row[3],
        newest_at=row[4],
        late_rows=row[5],
        unusable_rows=row[6],
        unknown_types={str(name): n for name, n in types.items() if name not in EVENT_TYPES},
        empty={c.name: 1 - n / rows for c, n in zip(optional, row[7:], strict=True) if rows},
    )


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
