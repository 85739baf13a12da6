"""Short queries through the driver alone.

The import of SQLAlchemy takes longer than these queries. Without it, commands such as
`intent status` start at once.
"""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
from pydantic import SecretStr

from intent_tasks.stores.addresses import connect_arguments, failure


@contextmanager
def connect(url: SecretStr) -> Iterator[Any]:
    """Yield a read-only connection of the driver.

    Raises:
        Refused: Postgres refuses the log-in or a query.
        TemporaryFailure: the server cannot be reached or gave up.
    """
    arguments = connect_arguments(url)
    try:
        with closing(psycopg2.connect(**arguments)) as connection:
            connection.set_session(readonly=True)
            yield connection
    except psycopg2.Error as error:
        raise failure(error, url) from error


def fetch_rows(
    url: SecretStr, query: str, values: Mapping[str, object] | None = None
) -> list[tuple[Any, ...]]:
    """Return the rows of one query.

    Args:
        url: of the database.
        query: SQL with parameters such as `%(day)s`.
        values: parameter → value.

    Raises:
        Refused: Postgres refuses the log-in or the query.
        TemporaryFailure: the server cannot be reached or gave up.
    """
    with connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(query, values)
        return list(cursor.fetchall())
