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
    import pyarrow as pa  # costs as much to import as all else here

TEMPORARY = (
    OperationalError,
    InterfaceError,
    psycopg2.OperationalError,
    psycopg2.InterfaceError,
)
"""Errors that may pass. COPY bypasses SQLAlchemy, so the driver raises its own errors."""
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
    except TEMPORARY as error:
        raise failure(error, url) from error


def ensure_partition(connection: sa.Connection, as_of_date: date) -> None:
    """Make the partition of `intent.predictions` that a day belongs to, unless it exists."""
    connection.execute(sa.text("SELECT intent.ensure_partition(:day)"), {"day": as_of_date})


_SQL_TYPES: dict[str, sa.types.TypeEngine[Any]] = {
    "string": sa.Text(),
    "double": sa.Double(),
    "int64": sa.BigInteger(),
    "date32[day]": sa.Date(),
}
"""Types of columns by the names of Arrow's types."""


def temporary_table(name: str, schema: "pa.Schema") -> sa.Table:
    """Return a table with the columns of an Arrow schema that lives as long as its transaction."""
    columns = (sa.Column(field.name, _SQL_TYPES[str(field.type)]) for field in schema)
    return sa.Table(
        name, sa.MetaData(), *columns, prefixes=["TEMPORARY"], postgresql_on_commit="DROP"
    )


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

    try:
        with (
            dbapi.connect(conninfo(url)) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            yield ArrowSession(cursor, url)
    except Error as error:
        raise failure(error, url) from error
