"""Facts about schema `shop` from Postgres: columns, rights, days, bad rows and buyers."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from expectations import schema
from intent_tasks.core.rules import MOST_EARLY_SECONDS, OK, REQUIRED, broken_rules
from intent_tasks.definition import EVENT_TYPES, HORIZONS_DAYS
from intent_tasks.settings import Settings
from intent_tasks.stores.extracting import duplicates, source
from intent_tasks.stores.extracting.day_builder import most_set_aside
from intent_tasks.stores.extracting.duplicates import hashes
from intent_tasks.stores.extracting.snapshot_rows import ROW
from intent_tasks.tables import events

NOT_PRICES = ("nan", "infinity", "-infinity")


def problems(table: sa.Table, types: schema.Types) -> list[str]:
    """Return a message for each column of a table that cannot be read."""
    existing = [column for column in table.columns if column.name in types]
    return [text for c in existing if (text := schema.problem(c, types[c.name]))]


def may_read(connection: sa.Connection, table: sa.Table) -> bool:
    """Return whether this role may read an existing table."""
    query = sa.select(
        sa.func.has_schema_privilege(table.schema, "USAGE"),
        sa.func.has_table_privilege(table.fullname, "SELECT"),
    )
    return all(connection.execute(query).one())


@dataclass(frozen=True)
class Events:
    """The events of a shop in numbers.

    Args:
        rows: number of events, without those of the future.
        customers: number of customers.
        future_rows: events more than a day after now.
        newest_future_at: time of the last of them.
        first_day: first shop day of arrival, without impossible times.
        last_day: last shop day of arrival.
        newest_at: arrival of the newest event.
        late_rows: events that arrived on a later day than they happened.
        early_rows: events that arrived more than a day before they happened.
        unknown_types: event type that is not in the contract → rows.
        unusable_rows: rows without a required value.
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
    early_rows: int
    unknown_types: Mapping[str, int]
    unusable_rows: int
    empty: Mapping[str, float]


def events_of(
    connection: sa.Connection, settings: Settings, rows_of: sa.Subquery, now: datetime
) -> Events:
    """Count the events in one pass, and their types in another.

    Args:
        connection: to the shop.
        settings: of this installation.
        rows_of: the events, as `source.relation` returns them.
        now: the present time.
    """
    arrived, happened = source.arrival(rows_of), rows_of.c.occurred_at
    future = _future(rows_of, now)
    past = sa.not_(sa.func.coalesce(future, sa.false()))
    early = arrived < happened - timedelta(seconds=MOST_EARLY_SECONDS)
    late = source.day_of(settings, arrived) > source.day_of(settings, happened)
    lacks = sa.or_(*(rows_of.c[name].is_(None) for name in REQUIRED))
    optional = [c for c in rows_of.columns if c.name not in REQUIRED]
    dated = arrived >= source.FIRST_KNOWN
    row = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count(rows_of.c.customer_id.distinct()),
            sa.func.min(source.day_of(settings, arrived)).filter(dated),
            sa.func.max(source.day_of(settings, arrived)).filter(dated),
            sa.func.max(arrived).filter(dated),
            sa.func.count().filter(late),
            sa.func.count().filter(lacks),
            sa.func.count().filter(early),
            *(sa.func.count(c) for c in optional),
        )
        .select_from(rows_of)
        .where(past)
    ).one()
    newest = sa.func.max(sa.func.least(sa.func.greatest(happened, arrived), source.LAST_KNOWN))
    later = sa.select(sa.func.count(), newest)
    future_rows, newest_future_at = connection.execute(later.where(future)).one()
    kinds = sa.select(rows_of.c.event_type, sa.func.count()).group_by(rows_of.c.event_type)
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
        early_rows=row[7],
        unknown_types={str(name): n for name, n in types.items() if name not in EVENT_TYPES},
        empty={c.name: 1 - n / rows for c, n in zip(optional, row[8:], strict=True) if rows},
    )


def count_infinite_prices(connection: sa.Connection) -> int:
    """Return how many events have the price NaN or infinity, which a snapshot reads as null."""
    text = sa.func.lower(sa.cast(events.c.price, sa.Text))
    query = sa.select(sa.func.count()).select_from(events)
    return connection.execute(query.where(text.in_(NOT_PRICES))).scalar_one()


def _future(rows_of: sa.Subquery, now: datetime) -> sa.ColumnElement[bool]:
    """Return whether an event happens or arrives more than a day after now."""
    until = now + timedelta(seconds=MOST_EARLY_SECONDS)
    times = [rows_of.c[name] for name in ("occurred_at", "ingested_at") if name in rows_of.c]
    return sa.or_(*(at > until for at in times))


@dataclass(frozen=True)
class Refusable:
    """The rows of a day that an extract would set aside.

    Args:
        day: of arrival.
        rows: all rows of that day.
        by_rule: rule → rows that break it, most first.
        most: rows that may be set aside.
    """

    day: date
    rows: int
    by_rule: Mapping[str, int]
    most: float

    @property
    def broken(self) -> int:
        """Return the number of these rows."""
        return sum(self.by_rule.values())

    @property
    def share(self) -> float:
        """Return their share of the day's rows."""
        return self.broken / self.rows


def refusable(settings: Settings, days: Iterable[date], most_rows: int) -> list[Refusable]:
    """Check the rows of some days of arrival as an extract does; days without rows are left out.

    Args:
        settings: of this installation.
        days: in the order in which they are checked.
        most_rows: after so many rows no further day is checked.
    """
    found: list[Refusable] = []
    with source.warehouse(settings) as warehouse:
        for day in days:
            if sum(each.rows for each in found) >= most_rows:
                break
            found += _judged(settings, warehouse, day)
    return found


def _judged(settings: Settings, warehouse: source.Warehouse, day: date) -> list[Refusable]:
    row_count, by_rule, ids = 0, Counter[str](), [np.zeros(0, np.int64)]
    for block in warehouse.stream([day]):
        rules = broken_rules(block, repeats=False)
        usable = pc.equal(rules, OK)
        by_rule.update(rules.filter(pc.invert(usable)).to_pylist())
        ids.append(hashes(block["event_id"].filter(usable)))
        row_count += block.num_rows
    unique, counts = np.unique(np.concatenate(ids), return_counts=True)
    if (counts > 1).any():
        by_rule.update(_copies(warehouse, day, unique[counts > 1]).rules)
    ordered = {rule: count for rule, count in by_rule.most_common() if count}
    most = most_set_aside(settings, row_count)
    return [Refusable(day, row_count, ordered, most)] if row_count else []


def _copies(
    warehouse: source.Warehouse, day: date, repeated: npt.NDArray[np.int64]
) -> duplicates.Copies:
    """Read a day a second time, to compare the rows with a repeated event_id."""
    blocks = []
    for block in warehouse.stream([day]):
        usable = block.filter(pc.equal(broken_rules(block, repeats=False), OK))
        chosen = usable.filter(pa.array(np.isin(hashes(usable["event_id"]), repeated)))
        blocks.append(chosen)
    rows = pa.concat_tables(blocks)
    return duplicates.find_copies(rows.append_column(ROW, pa.array(range(rows.num_rows))), ROW)


def buyers(
    connection: sa.Connection, settings: Settings, anchors: Mapping[str, Sequence[date]]
) -> dict[str, int]:
    """Count the customers who purchase within the longest horizon, for each part of the anchors.

    The query first groups the events to one row a customer and day.

    Args:
        connection: that may read the shop.
        settings: population and time zone.
        anchors: part → shop days.

    Returns:
        Part → pairs of anchor and customer, as in training.
    """
    rows_of = source.relation(connection)
    day = source.day_of(settings, rows_of.c.occurred_at)
    bought = sa.func.bool_or(rows_of.c.event_type == "purchase")
    active = (
        sa.select(rows_of.c.customer_id, day.label("day"), bought.label("bought"))
        .group_by(rows_of.c.customer_id, day)
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
    rows_of = source.relation(connection)
    query = sa.select(sa.func.count(rows_of.c.customer_id.distinct())).where(
        rows_of.c.event_type == "purchase",
        rows_of.c.occurred_at >= definition.day_start(first),
        rows_of.c.occurred_at < definition.day_end(last),
    )
    return int(connection.scalar(query) or 0)
