"""Rows that could not be used: kept with the rule that they break, so that they can be replayed."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import pyarrow as pa
import sqlalchemy as sa

from intent_tasks.core.rules import BadRow
from intent_tasks.stores import postgres
from intent_tasks.tables import quarantine

MOST_CHARACTERS = 8000
"""Longer payloads are cut: one row must not fill a disk."""


def replace(connection: sa.Connection, source: str, rows: Sequence[BadRow]) -> None:
    """Replace what is set aside of one source, in the caller's transaction."""
    connection.execute(sa.delete(quarantine).where(quarantine.c.source == source))
    add(connection, source, rows)


def add(connection: sa.Connection, source: str, rows: Sequence[BadRow]) -> None:
    """Set rows of a source aside beside those that are, in the caller's transaction."""
    found_at = pa.array([datetime.now(UTC)] * len(rows), pa.timestamp("us", tz="UTC"))
    table = {
        "source": pa.array([source] * len(rows), pa.string()),
        "row_number": pa.array([row.number for row in rows], pa.int32()),
        "row_key": pa.array([row.key for row in rows], pa.string()),
        "rule": pa.array([row.rule for row in rows], pa.string()),
        "payload": pa.array([_storable(row.payload) for row in rows], pa.string()),
        "found_at": found_at,
    }
    postgres.copy_in(connection, quarantine, pa.table(table))


def _storable(payload: str) -> str:
    """Return JSON that Postgres can hold: it knows no NUL, which stays readable as text."""
    whole = payload.replace("\\u0000", "\\\\u0000")
    if len(whole) <= MOST_CHARACTERS:
        return whole
    return json.dumps({"cut_after_characters": MOST_CHARACTERS, "begins": whole[:MOST_CHARACTERS]})
