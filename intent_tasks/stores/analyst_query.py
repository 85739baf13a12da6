"""Queries of the analyst, answered as CSV."""

import csv
import io
from typing import Any

import psycopg2
from psycopg2 import extras
from pydantic import SecretStr

from intent_tasks.errors import BadInput, TemporaryFailure
from intent_tasks.stores.addresses import failure
from intent_tasks.stores.plain_queries import connect


def query_as_csv(url: SecretStr, query: str) -> str:
    """Return the result of one read-only statement as CSV with a header; JSON values as JSON text.

    Raises:
        BadInput: Postgres refuses the statement; with its message, position and hint.
        Refused: Postgres refuses the log-in.
        TemporaryFailure: the server cannot be reached or gave up.
    """
    with connect(url) as connection:
        _keep_json_text(connection)
        with connection.cursor() as cursor:
            return _run(cursor, query, url)


def _keep_json_text(connection: Any) -> None:  # noqa: ANN401 - of the driver, which has no types
    """Return json and jsonb values as the text that Postgres sends, not as Python objects."""
    for register in (extras.register_default_json, extras.register_default_jsonb):
        register(connection, loads=str)


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
        raise BadInput(
            f"The query or a value of its result cannot be shown: {error}. Cast that column to "
            "text."
        ) from None


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
