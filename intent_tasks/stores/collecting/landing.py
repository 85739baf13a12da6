"""Land collected events in the shop's tables: each event_id once.

The owner of the shop writes, also into the ledger and the quarantine: events, ledger and rows set
aside are one transaction, and the role that predicts still only reads the shop.
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
    """Make the shop's tables where it has none of its own, and see that an event_id is unique.

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
    """Return which event_id an index found twice, or what else the server answers."""
    told = getattr(error.orig, "diag", None)
    return str(getattr(told, "message_detail", None) or error.orig).strip()


class Appended(NamedTuple):
    """What became of some events.

    Args:
        added: how many there are in the shop now.
        changed: which ones were not, because their event_id names another event, shape (n,).
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
    """Add the events whose event_id is not there yet, in the caller's transaction.

    An event of the source that is several rows is left out whole where one of them is there.

    Plain COPY is tried first: most blocks hold only new events. One that does not is rolled back to
    where it began, and done again without the ids that are there.

    Args:
        connection: an open transaction of the shop's owner.
        batch: events, each event_id once, columns of `shop.events`.
        expect_known: some were there in the block before: look first.
        sources: of each the id of the source's event; None: each row is judged by itself.
        compare: whether events with one id can be different ones.

    Raises:
        Refused: the shop's own table has a rule that an event breaks, or may not be written.
    """
    batch = batch.select([c for c in batch.column_names if c in read_columns(connection)])
    with refusing():
        return _append(connection, batch, sources, expect_known=expect_known, compare=compare)


@contextmanager
def refusing() -> Iterator[None]:
    """Write events of which the shop's own table may not take one.

    Raises:
        Refused: it does not.
    """
    try:
        yield
    except _NOT_TAKEN as error:
        raise Refused(
            f"{events.fullname} does not take the events: {str(error).strip().splitlines()[0]}. "
            "Compare the table with docs/tables.md."
        ) from None


_NOT_TAKEN = tuple(
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
    new, other = _compared(connection, batch, compare)
    known, changed = pc.invert(pc.is_in(ids, value_set=new)), pc.is_in(ids, value_set=other)
    if sources is not None:  # half of an event must not be added to the other half
        whole = pc.is_in(sources, value_set=sources.filter(known))
        if compare:
            differs = pc.or_(changed, pc.and_not(whole, known))
            changed = pc.is_in(sources, value_set=sources.filter(differs))
        known = whole
    return Appended(postgres.copy_in(connection, events, batch.filter(pc.invert(known))), changed)


def _compared(
    connection: sa.Connection, batch: pa.Table, compare: bool
) -> tuple[pa.Array, pa.Array]:
    """Return the ids that are not there, and those that name an event with other content."""
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
    """Tell where events with one id are different ones: a clock may have been corrected since."""
    if before.name != "occurred_at":
        return now.is_distinct_from(before)
    return sa.func.abs(sa.extract("epoch", now - before)) > SAME_TIME_SECONDS


def create_temporary_table(connection: sa.Connection, name: str, names: Sequence[str]) -> None:
    """Make a temporary table with columns of `shop.events`, of the types that it has there."""
    kinds = postgres.literal(sa.select(*(events.c[column] for column in names)))
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE {name} AS {kinds} WITH NO DATA")


def read_columns(connection: sa.Connection) -> list[str]:
    """Return the columns of `shop.events`, as far as they are of the contract."""
    found: list[str] = connection.info.setdefault("shop.events", source.columns(connection))
    return found


def add_products(connection: sa.Connection, told: pa.Table) -> None:
    """Add products, or what is new about those that are there, in the caller's transaction.

    A shop that keeps `shop.products` itself knows better: nothing is changed there.
    """
    mark = connection.scalar(sa.text(f"SELECT obj_description('{SHOP}'::regnamespace)"))
    if told.num_rows == 0 or mark != COLLECTED:
        return
    names = told.column_names
    connection.exec_driver_sql(f"CREATE TEMPORARY TABLE told (LIKE {products.fullname})")
    postgres.copy_in(connection, "told", told)
    new = sa.table("told", *(sa.column(name) for name in names))
    insert = postgresql.insert(products).from_select(
        names, sa.select(*new.c).order_by(new.c.product_id)
    )
    facts = {n: sa.func.coalesce(insert.excluded[n], products.c[n]) for n in names[1:]}
    differs = sa.or_(*(products.c[n].is_distinct_from(fact) for n, fact in facts.items()))
    connection.execute(
        insert.on_conflict_do_update(index_elements=["product_id"], set_=facts, where=differs)
    )
    connection.exec_driver_sql("DROP TABLE told")


def delete_events(connection: sa.Connection, file_id: str) -> None:
    """Remove the events that have their id from a file."""
    connection.execute(
        sa.delete(events).where(events.c.event_id.startswith(f"{file_id}-", autoescape=True))
    )


def analyze(connection: sa.Connection) -> None:
    """Let the planner know of the events, where this role may."""
    connection.exec_driver_sql(f"ANALYZE {events.fullname}")
