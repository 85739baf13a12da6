"""Read the shop's tables: their columns, the time of arrival, and the rows of days.

A row belongs to the day of its arrival. Values that no snapshot can hold do not leave Postgres: a
number that does not fit the type of the contract becomes null and is counted, and a time outside
the years 1 to 9999 becomes the first or last instant of them, which breaks a rule.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from expectations import schema
from intent_tasks.core.image_codes import compress_embeddings
from intent_tasks.core.rules import FIRST_YEAR, LAST_YEAR, REQUIRED, cannot_be_read
from intent_tasks.definition import Definition
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.tables import events, products

FIRST_KNOWN = datetime(FIRST_YEAR, 1, 1, tzinfo=UTC)
LAST_KNOWN = datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)
"""Times before the first, or from the last on, come from clocks that are wrong."""
PRODUCT_COLUMNS = ("product_id", "category_path", "brand", "title", "image_embedding")
"""Columns of `shop.products` that are read for events."""
CONTENT = ("title", "image_embedding")
"""Columns that are read only with the setting product_content."""


def columns(connection: sa.Connection) -> list[str]:
    """Return the columns that `shop.events` has; optional ones may be missing.

    Raises:
        Refused: there is no such table, or the role may not see it.
    """
    return list(types_of_events(connection))


def types_of_events(connection: sa.Connection) -> dict[str, schema.Type]:
    """Return the type of each column that `shop.events` has; raises as `columns`."""
    found = schema.types(connection, events)
    if found is None:
        raise Refused(
            f"There is no table or view {events.fullname}. Make one with the columns in "
            "docs/tables.md, and let the role intent_extract read it."
        )
    return found


def typed(table: sa.Table, types: schema.Types) -> list[sa.Label[Any]]:
    """Return the columns of the contract that a table of the shop has, with the contract's types.

    Raises:
        Refused: a column cannot be converted; says how to mend it.
    """
    existing = [column for column in table.columns if column.name in types]
    problems = [text for c in existing if (text := schema.problem(c, types[c.name]))]
    if problems:
        raise Refused(" ".join(problems))
    return [schema.read_as(column, types[column.name]) for column in existing]


def relation(connection: sa.Connection) -> sa.Subquery:
    """Return the events of all time, with the contract's types; raises as `typed`.

    `arrived_between` reads some days by an index.
    """
    return sa.select(*typed(events, types_of_events(connection))).subquery("shop_events")


def arrival(rows_of: sa.Subquery) -> sa.ColumnElement[Any]:
    """Return the time of arrival of a row of `relation`, as `arrived_at` does."""
    if "ingested_at" not in rows_of.c:
        return rows_of.c.occurred_at
    return sa.func.coalesce(rows_of.c.ingested_at, rows_of.c.occurred_at)


def day_of(settings: Settings, at: sa.ColumnElement[Any]) -> sa.ColumnElement[date]:
    """Return the shop day of an instant."""
    return sa.cast(sa.func.timezone(settings.time_zone, at), sa.Date)


def arrived_at(available: Collection[str]) -> sa.ColumnElement[Any]:
    """Return when a row reached the warehouse, or when it happened if that is not recorded."""
    if "ingested_at" not in available:
        return events.c.occurred_at
    return sa.func.coalesce(events.c.ingested_at, events.c.occurred_at)


def arrivals(available: Collection[str], start: datetime, end: datetime) -> sa.Select[Any]:
    """Select the events that arrived from `start` until before `end`."""
    known = [column for column in events.columns if column.name in available]
    return sa.select(*known).where(arrived_between(available, start, end))


def arrived_between(
    available: Collection[str], start: datetime, end: datetime
) -> sa.ColumnElement[bool]:
    """Return whether a row arrived in a period, in a form that can use an index of a column."""
    happened = sa.and_(events.c.occurred_at >= start, events.c.occurred_at < end)
    if "ingested_at" not in available:
        return happened
    ingested = events.c.ingested_at
    return sa.or_(sa.and_(ingested >= start, ingested < end), sa.and_(ingested.is_(None), happened))


@dataclass(frozen=True)
class Arrived:
    """The rows of one day in the warehouse.

    Args:
        rows: their number.
        content: digest of their values.
        unreadable: rule → values that do not fit the type of the contract and become null.
    """

    rows: int
    content: str
    unreadable: Mapping[str, int] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Warehouse:
    """A consistent view of the shop's tables.

    Args:
        session: one transaction.
        types: column of `shop.events` → its type.
        product_types: column of `shop.products` that may be read → its type; empty: no such table.
        definition: of the shop day.
    """

    session: postgres.ArrowSession
    types: schema.Types
    product_types: schema.Types
    definition: Definition

    def arrived(self, days: Iterable[date]) -> dict[date, Arrived]:
        """Count the rows of each day, in Postgres."""
        found: dict[date, Arrived] = {}
        for run in runs_of(days):
            found |= dict.fromkeys(run, Arrived(0, "0")) | self._arrived(run)
        return found

    def _arrived(self, run: list[date]) -> dict[date, Arrived]:
        lost = self._unreadable()
        flags = self._flags(run)
        query = (
            sa.select(
                *flags,
                sa.func.count().label("rows"),
                self.content().label("content"),
                *(sa.func.count().filter(bad).label(rule) for rule, bad in lost.items()),
            )
            .where(self._of(run))
            .group_by(*(flag.element for flag in flags))
        )
        rows = self.session.read(query).read_all().to_pylist()
        return {
            run[sum(row[flag.name] << bit for bit, flag in enumerate(flags))]: Arrived(
                row["rows"], row["content"], {rule: row[rule] for rule in lost if row[rule]}
            )
            for row in rows
            if row["rows"]
        }

    def _flags(self, run: list[date]) -> list[sa.Label[bool]]:
        """Return the bits of the number of a row's day in a run.

        Postgres takes an expression of a time for one group per time, and sorts all rows on disk.
        Of flags it knows that they are few groups, so that it counts in memory and in parallel.
        """
        starts = [sa.literal(self.definition.day_start(day), _INSTANT) for day in run[1:]]
        number = sa.func.width_bucket(
            arrived_at(self.types),
            sa.cast(postgresql.array(starts), sa.ARRAY(_INSTANT)),
            type_=sa.Integer,
        )
        bits = len(starts).bit_length()
        return [(number.bitwise_and(1 << bit) > 0).label(f"bit_{bit}") for bit in range(bits)]

    def content(self, of: sa.ColumnElement[bool] | None = None) -> sa.ColumnElement[str]:
        """Return the digest of the values of a group of rows, or of those that meet a condition."""
        hashed = sa.func.hash_record_extended(sa.func.row(*self._columns()), 0)
        # The sum of the hashes does not depend on the order of the rows, and changes with any
        # row. Postgres sums whole numbers without overflow. Modulo 2**64 the sum is short.
        added = sa.func.sum(hashed, type_=sa.Numeric)
        chosen = added if of is None else added.filter(of)
        return sa.cast(sa.func.mod(chosen, sa.literal(2**64)), sa.Text)

    def stream(self, run: list[date]) -> Iterator[pa.Table]:
        """Yield the rows that arrived in a run of days as blocks, in any order."""
        for block in self.session.read(self.query(run)):
            yield pa.Table.from_batches([block])

    def query(self, run: list[date]) -> sa.Select[Any]:
        """Select the rows that arrived in a run of days, with the contract's types."""
        return sa.select(*self._columns()).where(self._of(run))

    def products(self) -> pa.Table:
        """Return the products: product_id and, if the shop has them, columns for their events.

        Columns category_path, brand, title and picture; see `core/image_codes.py` for the picture.
        """
        types = {
            name: self.product_types[name] for name in PRODUCT_COLUMNS if name in self.product_types
        }
        if "product_id" not in types or "product_id" not in self.types:
            return pa.table({"product_id": pa.array([], pa.string())})
        selected = typed(products, types)
        # A view may list a product twice. The order decides which row counts, the same every day.
        order: list[sa.ColumnClause[Any]] = [sa.column(column.name) for column in selected]
        blocks = self.session.read(sa.select(*selected).order_by(*order))
        # Compress block by block, because embeddings are long.
        parts = [compress_embeddings(pa.Table.from_batches([block])) for block in blocks]
        parts.append(compress_embeddings(blocks.schema.empty_table()))
        return pa.concat_tables(parts).combine_chunks()

    def _of(self, run: list[date]) -> sa.ColumnElement[bool]:
        start, end = self.definition.day_start(run[0]), self.definition.day_end(run[-1])
        return arrived_between(self.types, start, end)

    def _columns(self) -> list[sa.Label[Any]]:
        return typed(events, self.types)

    def _unreadable(self) -> dict[str, sa.ColumnElement[bool]]:
        """Return rule → whether a row has a value that does not fit the type of the contract."""
        known = [column for column in events.columns if column.name in self.types]
        found = {c.name: schema.unreadable(c, self.types[c.name]) for c in known}
        return {cannot_be_read(name): bad for name, bad in found.items() if bad is not None}


_INSTANT = events.c.occurred_at.type


def runs_of(days: Iterable[date]) -> Iterator[list[date]]:
    """Group days into runs without a gap, earliest first."""
    run: list[date] = []
    for day in sorted(days):
        if run and day - run[-1] != timedelta(days=1):
            yield run
            run = []
        run.append(day)
    if run:
        yield run


@contextmanager
def warehouse(settings: Settings) -> Iterator[Warehouse]:
    """Open a consistent view of the shop's tables.

    Raises:
        Refused: there is no `shop.events`, a required column is missing, or a column has a type
            that cannot be read.
        TemporaryFailure: the server cannot be reached or ended the session.
    """
    with postgres.reading(settings.shop_url) as connection:
        types = types_of_events(connection)
        if absent := [name for name in REQUIRED if name not in types]:
            raise Refused(
                f"{events.fullname} lacks {', '.join(absent)}. Give the table or view the "
                "columns in docs/tables.md that may not be null."
            )
        typed(events, types)
        left_out = () if settings.product_content else CONTENT
        sold = schema.types(connection, products) or {}
        sold = {name: found for name, found in sold.items() if name not in left_out}
    with postgres.arrow_session(settings.shop_url) as session:
        yield Warehouse(session, types, sold, settings.definition)
