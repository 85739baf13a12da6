"""Postgres: transactions, the ledger, and bulk reads and writes through COPY."""

import io
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import psycopg2
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from intent_tasks.settings import Settings
from intent_tasks.stores import locks
from intent_tasks.stores.addresses import address_of, engine, failure
from intent_tasks.tables import runs

if TYPE_CHECKING:
    import pyarrow as pa  # costs as much to import as all else here

Receipt = dict[str, Any]

ALL_BUCKETS = -1
"""Bucket of a ledger row that is about all customers."""

_RECORDED = "intent_recorded"
# COPY goes past SQLAlchemy: there the driver's own errors come.
_TEMPORARY = (
    OperationalError,
    InterfaceError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
)
_BYTES_AT_ONCE = 1 << 18
"""Are handed to COPY at once."""


@contextmanager
def reading(url: SecretStr) -> Iterator[sa.Connection]:
    """Open one read-only transaction, in which all statements see the same state.

    Raises:
        Refused: Postgres refuses a query, as where a view of the shop fails on a row.
        TemporaryFailure: the server cannot be reached or gave up.
    """
    try:
        with engine(url).connect() as connection:
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
            yield connection
    except (DBAPIError, psycopg2.Error) as error:
        raise failure(error, url) from error


@contextmanager
def writing(
    settings: Settings, step: str, as_of_date: date, bucket: int = ALL_BUCKETS
) -> Iterator[sa.Connection]:
    """Open one transaction of the pipeline that no other run of the same work can overlap.

    It commits when the block ends. When the connection is lost in the commit, the ledger says
    whether the transaction took place; it is not guessed.

    Raises:
        TemporaryFailure: nothing was written.
    """
    recorded: dict[tuple[str, date, int], datetime] = {}
    try:
        with engine(settings.pipeline_url).connect() as connection:
            connection.info[_RECORDED] = recorded
            locks.end_overdue_readers(connection)
            lock(connection, step, as_of_date, bucket)
            yield connection
            connection.commit()
    except _TEMPORARY as error:
        if not recorded or not _committed(settings, step, as_of_date, bucket, recorded):
            raise failure(error, settings.pipeline_url) from error


@contextmanager
def changing(url: SecretStr, what: str | None) -> Iterator[sa.Connection]:
    """Open one transaction outside the pipeline's days, alone among those with the same name.

    Without a name the caller sees to it that it is alone.

    Raises:
        TemporaryFailure: the server cannot be reached or gave up.
    """
    try:
        with engine(url).begin() as connection:
            if what is not None:
                locks.take(connection, f"intent/{what}")
            yield connection
    except _TEMPORARY as error:
        raise failure(error, url) from error


def ensure_partition(connection: sa.Connection, as_of_date: date) -> None:
    """Make the partition of `intent.predictions` that a day belongs to, unless it exists."""
    connection.execute(sa.text("SELECT intent.ensure_partition(:day)"), {"day": as_of_date})


def lock(connection: sa.Connection, step: str, as_of_date: date, bucket: int = ALL_BUCKETS) -> None:
    """Hold off every other run of the same work until the transaction ends.

    Who takes several takes them in the order of the days.
    """
    locks.take(connection, f"intent/{step}/{as_of_date}/{bucket}")


def _committed(
    settings: Settings,
    step: str,
    as_of_date: date,
    bucket: int,
    recorded: Mapping[tuple[str, date, int], datetime],
) -> bool:
    """Look in the ledger for rows of a transaction whose commit was not confirmed."""
    try:
        with engine(settings.pipeline_url).connect() as connection:
            # Whoever still holds the lock may be our own transaction, about to commit.
            lock(connection, step, as_of_date, bucket)
            key, finished_at = next(iter(recorded.items()))
            query = sa.select(runs.c.finished_at).where(_is_run(*key))
            return connection.execute(query).scalar() == finished_at
    except _TEMPORARY:
        return False


def _is_run(step: str, as_of_date: date, bucket: int) -> sa.ColumnElement[bool]:
    return sa.and_(runs.c.step == step, runs.c.as_of_date == as_of_date, runs.c.bucket == bucket)


def record(
    connection: sa.Connection,
    step: str,
    as_of_date: date,
    receipt: Receipt,
    bucket: int = ALL_BUCKETS,
) -> None:
    """Write the ledger row of a step in the transaction that did its work."""
    finished_at = datetime.now(UTC)
    row = {"step": step, "as_of_date": as_of_date, "bucket": bucket}
    values = {"receipt": receipt, "finished_at": finished_at}
    statement = postgresql.insert(runs).values(**row, **values)
    connection.execute(statement.on_conflict_do_update(index_elements=list(row), set_=values))
    connection.info.setdefault(_RECORDED, {})[step, as_of_date, bucket] = finished_at


def amend(
    connection: sa.Connection,
    step: str,
    as_of_date: date,
    receipt: Receipt,
    bucket: int = ALL_BUCKETS,
) -> None:
    """Replace the receipt of a step that is done, in the transaction that changed what it counts.

    When it was finished stays as it is: the step did not run again.
    """
    connection.execute(
        sa.update(runs).where(_is_run(step, as_of_date, bucket)).values(receipt=receipt)
    )


def recorded_receipt(
    connection: sa.Connection, step: str, as_of_date: date, bucket: int = ALL_BUCKETS
) -> Receipt | None:
    """Return the receipt in the ledger as this transaction sees it, or None."""
    query = sa.select(runs.c.receipt).where(_is_run(step, as_of_date, bucket))
    receipt: Receipt | None = connection.execute(query).scalar()
    return receipt


def receipt_of(
    settings: Settings, step: str, as_of_date: date, bucket: int = ALL_BUCKETS
) -> Receipt | None:
    """Return what a step did for a day, or None when it has not finished."""
    with reading(settings.pipeline_url) as connection:
        return recorded_receipt(connection, step, as_of_date, bucket)


def copy_in(connection: sa.Connection, table: sa.Table | str, rows: "pa.Table") -> int:
    """Append rows through COPY and return how many.

    Args:
        connection: an open transaction; the rows are part of it.
        table: a table of `tables.py`, or the name of a temporary one.
        rows: columns named as the table's; text, numbers, booleans, dates and UTC timestamps, and
            lists of numbers for an array.
    """
    from pyarrow import csv as arrow_csv

    name = table if isinstance(table, str) else table.fullname
    columns = ", ".join(rows.column_names)
    buffer = io.BytesIO()
    # Text is quoted and null is not, so that an empty text stays an empty text.
    options = arrow_csv.WriteOptions(include_header=False, quoting_style="needed")
    arrow_csv.write_csv(_writable(rows), buffer, options)
    buffer.seek(0)
    with closing(connection.connection.cursor()) as cursor:
        statement = f"COPY {name} ({columns}) FROM STDIN (FORMAT csv)"
        cursor.copy_expert(statement, buffer, _BYTES_AT_ONCE)
    return int(rows.num_rows)


def _writable(rows: "pa.Table") -> "pa.Table":
    """Return the rows with what Arrow cannot write, or only slowly, as text for Postgres."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for place, field in enumerate(rows.schema):
        column = rows[field.name]
        if pa.types.is_list(field.type):  # of numbers
            texts = pc.binary_join(column.cast(pa.list_(pa.string())), ",")
            rows = rows.set_column(place, field.name, _enclosed("{", texts, "}"))
        elif pa.types.is_timestamp(field.type) and field.type.tz == "UTC":
            # Arrow writes a time with a zone twenty times as slowly as one without.
            texts = column.cast(pa.timestamp(field.type.unit)).cast(pa.string())
            rows = rows.set_column(place, field.name, _enclosed("", texts, "Z"))
    return rows


def _enclosed(before: str, texts: "pa.ChunkedArray", after: str) -> "pa.ChunkedArray":
    import pyarrow.compute as pc

    return pc.binary_join_element_wise(before, texts, after, "")


def literal(statement: sa.ClauseElement | str, params: Mapping[str, Any] | None = None) -> str:
    """Return the SQL of a statement with its values rendered in; COPY takes no parameters."""
    if isinstance(statement, str):
        statement = sa.text(statement).bindparams(**(params or {}))
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))


@contextmanager
def arrow(
    url: SecretStr, statement: sa.ClauseElement | str, params: Mapping[str, Any] | None = None
) -> Iterator["pa.RecordBatchReader"]:
    """Stream the rows of one query as Arrow, through COPY.

    Raises:
        TemporaryFailure: the server cannot be reached or gave up.
    """
    with arrow_session(url) as session:
        yield session.read(statement, params)


class ArrowSession:
    """Queries over one connection, which all see the same state of the database."""

    def __init__(self, cursor: Any, url: SecretStr) -> None:  # noqa: ANN401 - the driver's
        self._cursor, self._url = cursor, url

    def read(
        self, statement: sa.ClauseElement | str, params: Mapping[str, Any] | None = None
    ) -> "pa.RecordBatchReader":
        """Stream the rows of a query; the reader is used up before the next query."""
        import pyarrow as pa
        from adbc_driver_manager._reader import AdbcRecordBatchReader

        self._cursor.execute(literal(statement, params))
        # The reader that the cursor itself hands out forgets the SQLSTATE of what ends a result.
        stream = self._cursor.fetch_arrow()
        found = AdbcRecordBatchReader._import_from_c(stream.address)
        return pa.RecordBatchReader.from_batches(found.schema, self._blocks(found))

    def _blocks(self, found: "pa.RecordBatchReader") -> Iterator["pa.RecordBatch"]:
        """Yield the blocks of a result; what ends it early comes from the server."""
        import pyarrow as pa
        from adbc_driver_manager import Error

        try:
            yield from found
        except (Error, OSError, pa.ArrowException) as error:
            raise failure(error, self._url) from error


@contextmanager
def arrow_session(url: SecretStr) -> Iterator[ArrowSession]:
    """Open one read-only transaction for Arrow reads.

    Raises:
        Refused: Postgres refuses a query, as where a view of the shop fails on a row.
        TemporaryFailure: the server cannot be reached or gave up.
    """
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi

    address = address_of(url).set(drivername="postgresql")
    address = address.update_query_dict({"connect_timeout": "10", "application_name": "intent"})
    try:
        with (
            dbapi.connect(address.render_as_string(hide_password=False)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield ArrowSession(cursor, url)
    except Error as error:
        raise failure(error, url) from error
