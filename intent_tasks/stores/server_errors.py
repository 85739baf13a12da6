"""Errors of Postgres without the rows that they quote.

Besides the message, an error has a detail, a hint and a context, which quote rows: `Failing row
contains (…)`, `Key (customer_id)=(…) already exists`. They would appear in logs.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

import psycopg2
from psycopg2.extensions import cursor


def _with_message_only(method: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(method)
    def call(self: cursor, *args: object, **options: object) -> object:
        try:
            return method(self, *args, **options)
        except psycopg2.Error as error:
            if error.diag.message_primary:
                error.args = (error.diag.message_primary, *error.args[1:])
            raise

    return call


class Cursor(cursor):  # type: ignore[misc]
    """A cursor whose errors hold only the message of the server."""

    execute = _with_message_only(cursor.execute)
    executemany = _with_message_only(cursor.executemany)
    copy_expert = _with_message_only(cursor.copy_expert)
