"""Queries of the analyst, answered as CSV."""

import csv
import io
from typing import Any

import psycopg2
from psycopg2 import extensions
from pydantic import SecretStr

from intent_tasks.errors import BadInput, TemporaryFailure
from intent_tasks.stores.addresses import failure
from intent_tasks.stores.plain_queries import connect

_TEXT = extensions.new_type(
    tuple(set(extensions.string_types) - set(extensions.BOOLEAN.values)),
    "TEXT",
    lambda value, _: value,
)
"""All types that the driver would turn into objects of Python, some of which it cannot show."""


def query_as_csv(url: SecretStr, query: str) -> str:
    """Return the result of one read-only statement as CSV with a header.

    Values are the text that Postgres sends, but booleans are True and False.

    Raises:
        BadInput: Postgres refuses the statement; with its message, position and hint.
        Refused: Postgres refuses the log-in.
        TemporaryFailure: the server cannot be reached or gave up.
    """
    with connect(url) as connection:
        extensions.register_type(_TEXT, connection)
        with connection.cursor() as cursor:
            return _run(cursor, query, url)


def _run(cursor: Any, query: str, url: SecretStr) -> str:  # noqa: ANN401 - of the driver
    try:
        cursor.execute(query)
        return _write_csv(cursor)
    except psycopg2.Error as error:
        failed = failure(error, url)
        if isinstance(failed, TemporaryFailure):
            raise failed from error
        raise BadInput(_describe(error, query)) from None
    except (ValueError, OverflowError) as error:
        raise BadInput(f"The query cannot be sent: {error}. Correct it.") from None


def _write_csv(cursor: Any) -> str:  # noqa: ANN401 - of the driver
    text = io.StringIO()
    if cursor.description:
        rows = csv.writer(text)
        rows.writerow(column.name for column in cursor.description)
        rows.writerows(cursor)
    return text.getvalue()


def _describe(error: Any, query: str) -> str:  # noqa: ANN401 - an error of the driver
    """Return the server's message, the line of the query it is about, and its hint.

    The detail and the context are left out, because they quote rows.
    """
    if "copy_" in str(error) and not error.pgcode:
        return "COPY is of no use here: the result is CSV already. Give the SELECT alone."
    parts = [str(error).strip()]
    diagnostics = getattr(error, "diag", None)
    if position := getattr(diagnostics, "statement_position", None):
        parts.append(_mark(query, int(position)))
    if hint := getattr(diagnostics, "message_hint", None):
        parts.append(f"HINT:  {hint}")
    return "\n".join(parts)


def _mark(query: str, position: int) -> str:
    """Return the line of the query that holds a position, counted from 1, with a caret below."""
    before = query[: position - 1]
    start = before.rfind("\n") + 1
    label = f"LINE {before.count(chr(10)) + 1}: "
    line = query[start:].split("\n", 1)[0]
    return f"{label}{line}\n{' ' * (len(label) + len(before) - start)}^"
