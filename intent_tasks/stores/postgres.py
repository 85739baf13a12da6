"""Postgres: transactions, and bulk reads and writes through COPY."""

import io
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import date
from typing import TYPE_CHECKING, Any

import psycopg2
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from intent_tasks.stores import locks
from intent_tasks.stores.addresses import conninfo, engine, failure

if TYPE_CHECKING:
    import pyarrow as pa  # its import takes as long as all others here

TEMPORARY = (
    OperationalError,
    InterfaceError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
)
"""Errors that may pass. COPY bypasses SQLAlchemy, so the driver raises its own errors."""
_COPY_BYTES = 1 << 18
"""Size of the blocks that are sent to COPY."""


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
def changing(url: SecretStr, name: str | None) -> Iterator[sa.Connection]:
    """Open one transaction outside the pipeline's days, which excludes those of the same name.

    Without a name, the caller takes a lock itself if it needs one.

    Raises:
        TemporaryFailure: the server cannot be reached or gave up.
    """
    try:
        with engine(url).begin() as connection:
            if name is not None:
                locks.take(connection, f"intent/{name}")
            yield connection
    except TEMPORARY as error:
        raise failure(error, url) from error


def ensure_partition(connection: sa.Connection, as_of_date: date) -> None:
    """Create the partition of `intent.predictions` for a day, unless it exists."""
    connection.execute(sa.text("SELECT intent.ensure_partition(:day)"), {"day": as_of_date})


_SQL_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "string": sa.Text(),
    "double": sa.Double(),
    "int64": sa.BigInteger(),
    "date32[day]": sa.Date(),
}
"""Types of columns by the names of Arrow's types."""


def temporary_table(name: str, schema: "pa.Schema") -> sa.Table:
    """Return a temporary table of one transaction, with the columns of an Arrow schema."""
    columns = (sa.Column(field.name, _SQL_TYPES[str(field.type)]) for field in schema)
    return sa.Table(
        name, sa.MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP"
    )


def copy_in(connection: sa.Connection, table: sa.Table | str, rows: "pa.Table") -> int:
    """Append rows through COPY and return their number.

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
        cursor.copy_expert(statement, buffer, _COPY_BYTES)
    return int(rows.num_rows)


def _writable(rows: "pa.Table") -> "pa.Table":
    """Return the rows with lists and UTC times as text, which Arrow writes badly or slowly."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for position, field in enumerate(rows.schema):
        column = rows[field.name]
        if pa.types.is_list(field.type):  # of numbers
            texts = pc.binary_join(column.cast(pa.list_(pa.string())), ",")
            rows = rows.set_column(position, field.name, _enclose("{", texts, "}"))
        elif pa.types.is_timestamp(field.type) and field.type.tz == "UTC":
            # Arrow writes a time with a zone twenty times as slowly as one without.
            texts = column.cast(pa.timestamp(field.type.unit)).cast(pa.string())
            rows = rows.set_column(position, field.name, _enclose("", texts, "Z"))
    return rows


def _enclose(before: str, texts: "pa.ChunkedArray", after: str) -> "pa.ChunkedArray":
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
        """Stream the rows of a query; read all of them before the next query."""
        import pyarrow as pa
        from adbc_driver_manager._reader import AdbcRecordBatchReader

        self._cursor.execute(literal(statement, params))
        # The cursor's own reader drops the SQLSTATE of an error that ends a result early.
        stream = self._cursor.fetch_arrow()
        reader = AdbcRecordBatchReader._import_from_c(stream.address)
        return pa.RecordBatchReader.from_batches(reader.schema, self._blocks(reader))

    def _blocks(self, reader: "pa.RecordBatchReader") -> Iterator["pa.RecordBatch"]:
        """Yield the blocks of a result; an error in between comes from the server."""
        import pyarrow as pa
        from adbc_driver_manager import Error

        try:
            yield from reader
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

    try:
        with (
            dbapi.connect(conninfo(url)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield ArrowSession(cursor, url)
    except Error as error:
        raise failure(error, url) from error
