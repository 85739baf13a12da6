"""Load collected events into the shop's tables: each event_id once.

The owner of the shop writes all of them, the ledger and the quarantine too: they are one
transaction, and the role that predicts only reads the shop.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from psycopg2.errors import UniqueViolation
from sqlalchemy.dialects import postgresql

from intent_tasks.core.rules import REQUIRED
from intent_tasks.errors import Refused
from intent_tasks.formats.duplicates import CONTENT, SAME_TIME_SECONDS
from intent_tasks.stores import postgres
from intent_tasks.stores.extracting import source
from intent_tasks.stores.simulated_shop import COLLECTED
from intent_tasks.tables import SHOP, events, products, shop_metadata

EVENT_ID_INDEX = "events_event_id"


def prepare(connection: sa.Connection) -> None:
    """Create the shop's tables where it has none, and make event_id unique.

    Raises:
        Refused: a simulated shop is here, `shop.events` is a view, lacks a column, holds an
            event_id twice, or belongs to somebody else.
    """
    inspector = sa.inspect(connection)
    if events.name in inspector.get_view_names(SHOP):
        raise Refused(
            f"{events.fullname} is a view: the shop fills it itself, and there is nothing to "
            "collect. `intent check-source` tells whether it has all that is needed."
        )
    mark = connection.scalar(sa.text(f"SELECT obj_description('{SHOP}'::regnamespace)"))
    if mark and mark.startswith("Loaded:"):
        raise Refused(
            f"Another shop is loaded here ({mark}). Remove it with `make clean`, or set "
            "INTENT_HOME to another folder for another shop."
        )
    if not inspector.has_table(events.name, SHOP):
        shop_metadata.create_all(connection)
        connection.exec_driver_sql(f"COMMENT ON SCHEMA {SHOP} IS '{COLLECTED}'")
    if absent := [name for name in REQUIRED if name not in source.columns(connection)]:
        raise Refused(f"{events.fullname} lacks {', '.join(absent)}. See docs/tables.md.")
    if not _has_unique_ids(connection):
        _make_ids_unique(connection)


def _has_unique_ids(connection: sa.Connection) -> bool:
    inspector = sa.inspect(connection)
    indexes = inspector.get_indexes(events.name, SHOP)
    unique = [index["column_names"] for index in indexes if index["unique"]]
    key = inspector.get_pk_constraint(events.name, SHOP)["constrained_columns"]
    return ["event_id"] in unique or key == ["event_id"]


def _make_ids_unique(connection: sa.Connection) -> None:
    statement = f"CREATE UNIQUE INDEX {EVENT_ID_INDEX} ON {events.fullname} (event_id)"
    try:
        connection.exec_driver_sql(statement)
    except sa.exc.IntegrityError as error:
        raise Refused(
            f"{events.fullname} holds an event_id twice ({_detail(error)}), so it cannot be told "
            "which events were collected. Remove the second ones."
        ) from None
    except sa.exc.ProgrammingError as error:
        raise Refused(
            f"{events.fullname} needs a unique index on event_id, which the role of "
            f"INTENT_SHOP_OWNER_URL may not make: {_detail(error)}. Let the owner of the table "
            f"run: {statement}"
        ) from None


def _detail(error: sa.exc.DBAPIError) -> str:
    """Return the event_id that an index found twice, or another answer of the server."""
    diagnosis = getattr(error.orig, "diag", None)
    return str(getattr(diagnosis, "message_detail", None) or error.orig).strip()


class Appended(NamedTuple):
    """Outcome of some events.

    Args:
        added: number of events that were added.
        changed: whether the event_id of each names another event, shape (n,).
    """

    added: int
    changed: pa.Array


def append(
    connection: sa.Connection,
    batch: pa.Table,
    *,
    expect_known: bool,
    sources: pa.Array | None = None,
    compare: bool = True,
) -> Appended:
    """Add the events whose event_id is new, in the caller's transaction.

    An event of several rows is left out whole when one of its rows is in the table.

    Plain COPY comes first: most blocks hold only new events. Otherwise the block is rolled
    back, and copied without the known ids.

    Args:
        connection: an open transaction of the shop's owner.
        batch: events, each event_id once, columns of `shop.events`.
        expect_known: look for known ids first, because the block before had some.
        sources: id of the source's event of each row; None: each row is an event of its own.
        compare: whether events with one id can be different events.

    Raises:
        Refused: the shop's own table has a rule that an event breaks, or may not be written.
    """
    batch = batch.select([c for c in batch.column_names if c in read_columns(connection)])
    with refusing():
        return _append(connection, batch, sources, expect_known=expect_known, compare=compare)


@contextmanager
def refusing() -> Iterator[None]:
    """Turn errors of the shop's own table into a refusal.

    Raises:
        Refused: the table does not accept the events.
    """
    try:
        yield
    except _NOT_ACCEPTED as error:
        raise Refused(
            f"{events.fullname} does not take the events: {str(error).strip().splitlines()[0]}. "
            "Compare the table with docs/tables.md."
        ) from None


_NOT_ACCEPTED = tuple(
    getattr(library, name)
    for library in (psycopg2, sa.exc)
    for name in ("IntegrityError", "DataError", "ProgrammingError")
)


def _append(
    connection: sa.Connection,
    batch: pa.Table,
    sources: pa.Array | None,
    *,
    expect_known: bool,
    compare: bool,
) -> Appended:
    ids = batch["event_id"].combine_chunks()
    if not expect_known:
        with suppress(UniqueViolation), connection.begin_nested():
            count = postgres.copy_in(connection, events, batch)
            return Appended(count, pa.repeat(False, len(ids)))
    new, other = _find_new(connection, batch, compare)
    known, changed = pc.invert(pc.is_in(ids, value_set=new)), pc.is_in(ids, value_set=other)
    if sources is not None:  # an event is added whole or not at all
        whole = pc.is_in(sources, value_set=sources.filter(known))
        if compare:
            differs = pc.or_(changed, pc.and_not(whole, known))
            changed = pc.is_in(sources, value_set=sources.filter(differs))
        known = whole
    return Appended(postgres.copy_in(connection, events, batch.filter(pc.invert(known))), changed)


def _find_new(
    connection: sa.Connection, batch: pa.Table, compare: bool
) -> tuple[pa.Array, pa.Array]:
    """Return the new ids, and those of events with other content."""
    names = ["event_id", *(n for n in CONTENT if compare and n in batch.column_names)]
    create_temporary_table(connection, "incoming", names)
    postgres.copy_in(connection, "incoming", batch.select(names))
    incoming = sa.table("incoming", *(sa.column(name) for name in names))
    is_new = events.c.event_id.is_(None)
    differs = (_differs(incoming.c[name], events.c[name]) for name in names[1:])
    query = (
        sa.select(incoming.c.event_id, is_new)
        .join_from(incoming, events, incoming.c.event_id == events.c.event_id, isouter=True)
        .where(sa.or_(is_new, *differs))
    )
    found = connection.execute(query).all()
    connection.exec_driver_sql("DROP TABLE incoming")
    new = pa.array([name for name, is_new in found if is_new], pa.string())
    return new, pa.array([name for name, is_new in found if not is_new], pa.string())


def _differs(now: sa.ColumnClause[Any], before: sa.Column[Any]) -> sa.ColumnElement[bool]:
    """Return whether a column distinguishes events; a clock may have been corrected since."""
    if before.name != "occurred_at":
        return now.is_distinct_from(before)
    return sa.func.abs(sa.extract("epoch", now - before)) > SAME_TIME_SECONDS


def create_temporary_table(connection: sa.Connection, name: str, names: Sequence[str]) -> None:
    """Create a temporary table with columns of `shop.events`, of the types in that table."""
    kinds = postgres.literal(sa.select(*(events.c[column] for column in names)))
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {name} AS {kinds} WITH NO DATA")


def read_columns(connection: sa.Connection) -> list[str]:
    """Return the columns of `shop.events` that the contract names."""
    found: list[str] = connection.info.setdefault("shop.events", source.columns(connection))
    return found


def add_products(connection: sa.Connection, rows: pa.Table) -> None:
    """Add products, or update known ones, in the caller's transaction.

    A `shop.products` that the shop itself maintains stays as it is.
    """
    mark = connection.scalar(sa.text(f"SELECT obj_description('{SHOP}'::regnamespace)"))
    if rows.num_rows == 0 or mark != COLLECTED:
        return
    names = rows.column_names
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE new_products (LIKE {products.fullname})")
    postgres.copy_in(connection, "new_products", rows)
    new = sa.table("new_products", *(sa.column(name) for name in names))
    insert = postgresql.insert(products).from_select(
        names, sa.select(*new.c).order_by(new.c.product_id)
    )
    values = {n: sa.func.coalesce(insert.excluded[n], products.c[n]) for n in names[1:]}
    differs = sa.or_(*(products.c[n].is_distinct_from(value) for n, value in values.items()))
    connection.execute(
        insert.on_conflict_do_update(index_elements=["product_id"], set_=values, where=differs)
    )
    connection.exec_driver_sql("DROP TABLE new_products")


def delete_events(connection: sa.Connection, file_id: str) -> None:
    """Delete the events whose id begins with that of a file."""
    connection.execute(
        sa.delete(events).where(events.c.event_id.startswith(f"{file_id}-", autoescape=True))
    )


def analyze(connection: sa.Connection) -> None:
    """Update the planner's statistics of the events, where this role may."""
    connection.exec_driver_sql(f"ANALYZE {events.fullname}")
