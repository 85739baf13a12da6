"""How the shop's events are read: which columns there are, when a row arrived, and all of a run.

A row belongs to the day it arrived on. What no snapshot could hold never leaves Postgres: numbers
of wider types are held to the ends of the contract's, and times to the years 1 to 9999, which the
rules then name.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.core.image_codes import compress_embeddings
from intent_tasks.core.rules import RANGES, REQUIRED
from intent_tasks.definition import Definition
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.tables import events, products

_FIRST = datetime(1, 1, 1, tzinfo=UTC)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999_999, UTC)
TOLD = ("product_id", "category_path", "brand", "title", "image_embedding")
"""Columns of `shop.products` that events tell."""
CONTENT = ("title", "image_embedding")
"""Those that the setting product_content is about."""
_INTEGER = (-(2**31), 2**31 - 1)
_NUMBER = (-1e300, 1e300)


def columns(connection: sa.Connection) -> list[str]:
    """Return the columns that `shop.events` has; the optional ones may be absent.

    Raises:
        Refused: there is no such table, or the role may not see it.
    """
    return list(_types(connection))


def _types(connection: sa.Connection) -> dict[str, sa.types.TypeEngine[Any]]:
    found = _columns_of(connection, events)
    if found is None:
        raise Refused(
            f"There is no table or view {events.fullname}. Make one with the columns in "
            "docs/tables.md, and let the role intent_extract read it."
        )
    return found


def _columns_of(
    connection: sa.Connection, table: sa.Table
) -> dict[str, sa.types.TypeEngine[Any]] | None:
    try:
        found = sa.inspect(connection).get_columns(table.name, schema=table.schema)
    except sa.exc.NoSuchTableError:
        return None
    return {column["name"]: column["type"] for column in found}


def arrived_at(available: Collection[str]) -> sa.ColumnElement[Any]:
    """Return when a row reached the warehouse; where that is not recorded, when it happened."""
    if "ingested_at" not in available:
        return events.c.occurred_at
    return sa.func.coalesce(events.c.ingested_at, events.c.occurred_at)


def arrivals(available: Collection[str], start: datetime, end: datetime) -> sa.Select[Any]:
    """Select the events that arrived from `start` up to, not including, `end`."""
    known = [column for column in events.columns if column.name in available]
    return sa.select(*known).where(arrived_between(available, start, end))


def arrived_between(
    available: Collection[str], start: datetime, end: datetime
) -> sa.ColumnElement[bool]:
    """Return whether a row arrived in that time, in words that let an index of a column serve."""
    happened = sa.and_(events.c.occurred_at >= start, events.c.occurred_at < end)
    if "ingested_at" not in available:
        return happened
    ingested = events.c.ingested_at
    return sa.or_(sa.and_(ingested >= start, ingested < end), sa.and_(ingested.is_(None), happened))


class Arrived(NamedTuple):
    """What the warehouse holds of one day: how many rows, and a digest of what they say."""

    rows: int
    content: str


@dataclass(frozen=True)
class Warehouse:
    """One view of the shop's tables, the same for all that is asked of it.

    Args:
        session: one transaction.
        types: column of `shop.events` → its type there.
        product_columns: those of `shop.products` that may be read; none: there is no such table.
        definition: tells when a day ends.
    """

    session: postgres.ArrowSession
    types: Mapping[str, sa.types.TypeEngine[Any]]
    product_columns: Collection[str]
    definition: Definition

    def arrived(self, days: Iterable[date]) -> dict[date, Arrived]:
        """Count the rows of each day, in Postgres."""
        found: dict[date, Arrived] = {}
        for run in runs_of(days):
            found |= dict.fromkeys(run, Arrived(0, "0")) | self._arrived(run)
        return found

    def _arrived(self, run: list[date]) -> dict[date, Arrived]:
        hashed = sa.func.hash_record_extended(sa.func.row(*self._columns()), 0)
        # The sum of the hashes does not depend on the order of the rows; a row exchanged for
        # another changes it. It is cut to 64 bits so that any number of rows has a short one.
        content = sa.func.mod(sa.func.sum(sa.cast(hashed, sa.Numeric)), sa.literal(2**64))
        starts = [sa.literal(self.definition.day_start(day), _INSTANT) for day in run]
        place = sa.func.width_bucket(
            arrived_at(self.types), sa.cast(postgresql.array(starts), sa.ARRAY(_INSTANT))
        )
        query = (
            sa.select(
                place.label("place"),
                sa.func.count().label("rows"),
                sa.cast(content, sa.Text).label("content"),
            )
            .where(self._of(run))
            .group_by(place)
        )
        rows = self.session.read(query).read_all().to_pylist()
        return {run[r["place"] - 1]: Arrived(r["rows"], r["content"]) for r in rows}

    def stream(self, run: list[date]) -> Iterator[pa.Table]:
        """Yield the rows that arrived in a run of days, in any order, block by block."""
        for block in self.session.read(self.query(run)):
            yield pa.Table.from_batches([block])

    def query(self, run: list[date]) -> sa.Select[Any]:
        """Select the rows that arrived in a run of days, columns as the contract types them."""
        return sa.select(*self._columns()).where(self._of(run))

    def products(self) -> pa.Table:
        """Return of what the shop sells product_id and, where it has them, all that events tell.

        Columns category_path, brand, title and picture; the picture of `core/image_codes.py`.
        """
        told = [products.c[name] for name in TOLD if name in self.product_columns]
        if products.c.product_id not in told or "product_id" not in self.types:
            return pa.table({"product_id": pa.array([], pa.string())})
        typed = [sa.cast(c, c.type).label(c.name) for c in told]
        # A view may name a product twice: which row counts must not change from day to day.
        blocks = self.session.read(sa.select(*typed).order_by(*told))
        # One by one: embeddings are long, and what is kept of them is not.
        parts = [compress_embeddings(pa.Table.from_batches([block])) for block in blocks]
        parts.append(compress_embeddings(blocks.schema.empty_table()))
        return pa.concat_tables(parts).combine_chunks()

    def _of(self, run: list[date]) -> sa.ColumnElement[bool]:
        start, end = self.definition.day_start(run[0]), self.definition.day_end(run[-1])
        return arrived_between(self.types, start, end)

    def _columns(self) -> list[sa.ColumnElement[Any]]:
        return [_typed(c, self.types[c.name]) for c in events.columns if c.name in self.types]


_INSTANT = events.c.occurred_at.type


def _typed(column: sa.ColumnElement[Any], found: sa.types.TypeEngine[Any]) -> sa.ColumnElement[Any]:
    """Return a column as the type of the contract: the shop may store a price as numeric."""
    value = column
    wanted = column.type
    wider = isinstance(found, sa.Numeric | sa.BigInteger) and not isinstance(found, sa.Float)
    if column.key in RANGES and wider:
        low, high = _INTEGER if isinstance(wanted, sa.Integer) else _NUMBER
        value = sa.func.least(sa.func.greatest(value, low), high)
    if column.key == "occurred_at":
        value = sa.cast(value, _INSTANT)
        value = sa.func.least(
            sa.func.greatest(value, sa.literal(_FIRST, _INSTANT)), sa.literal(_LAST, _INSTANT)
        )
    return sa.cast(value, wanted).label(column.key)


def runs_of(days: Iterable[date]) -> Iterator[list[date]]:
    """Yield days in runs without a gap, earliest first."""
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
    """Open one view of the shop's tables.

    Raises:
        Refused: there is no `shop.events`, or it lacks a column that is needed.
        TemporaryFailure: the server cannot be reached or gave up.
    """
    with postgres.reading(settings.shop_url) as connection:
        types = _types(connection)
        if absent := [name for name in REQUIRED if name not in types]:
            raise Refused(
                f"{events.fullname} lacks {', '.join(absent)}. Give the table or view the "
                "columns in docs/tables.md that may not be null."
            )
        sold = set(_columns_of(connection, products) or ())
        sold.difference_update(() if settings.product_content else CONTENT)
    with postgres.arrow_session(settings.shop_url) as session:
        yield Warehouse(session, types, sold, settings.definition)
