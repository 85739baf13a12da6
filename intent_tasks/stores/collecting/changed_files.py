"""Land a file that was collected before and is another one now, where its rows have no ids.

Then a row is known by what it says: of rows that say the same, as many are new as there are more of
them than before. All of the file is one transaction.
"""

from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from intent_tasks.formats.columns import SCHEMA
from intent_tasks.stores import postgres
from intent_tasks.stores.collecting.landing import create_temporary_table, read_columns, refusing
from intent_tasks.tables import events


class Merged(NamedTuple):
    """What became of the events of a file.

    Args:
        added: how many are new.
        gone: how many of before it no longer holds; they stay.
    """

    added: int
    gone: int


def create_table(connection: sa.Connection) -> None:
    """Make room for the events of a file, in the caller's transaction."""
    create_temporary_table(connection, "rewritten", _names(connection))


def add_events(connection: sa.Connection, batch: pa.Table) -> None:
    """Keep events of the file, columns of `shop.events`, for `merge`."""
    with refusing():
        postgres.copy_in(connection, "rewritten", batch.select(_names(connection)))


def _names(connection: sa.Connection) -> list[str]:
    return [name for name in SCHEMA.names if name in read_columns(connection)]


def merge(connection: sa.Connection, file_ids: Sequence[str]) -> Merged:
    """Add the events that the shop does not have from earlier contents of the file.

    Args:
        connection: an open transaction of the shop's owner.
        file_ids: what the ids of events from its earlier contents begin with.

    Raises:
        Refused: the shop's own table has a rule that an event breaks, or may not be written.
    """
    names = ", ".join(_names(connection))
    content = ", ".join(f"t.{name}" for name in _names(connection) if name != "event_id")
    # The text of a row is what it says; its digest is small enough for millions of them.
    statement = sa.text(f"""
        WITH before AS (
            SELECT md5(ROW({content})::text) AS content, count(*) AS times
            FROM {events.fullname} AS t WHERE t.event_id LIKE ANY (:ids) GROUP BY 1
        ), now AS (
            SELECT t.*, md5(ROW({content})::text) AS content,
                row_number() OVER (
                    PARTITION BY md5(ROW({content})::text) ORDER BY t.event_id
                ) AS place
            FROM rewritten AS t
        ), added AS (
            INSERT INTO {events.fullname} ({names})
            SELECT {names} FROM now LEFT JOIN before USING (content)
            WHERE place > coalesce(times, 0) ON CONFLICT (event_id) DO NOTHING RETURNING 1
        )
        SELECT (SELECT count(*) FROM added), (SELECT coalesce(sum(times), 0) FROM before),
            (SELECT count(*) FROM now JOIN before USING (content) WHERE place <= times)
    """)  # noqa: S608 - names of columns are those of the contract
    with refusing():
        added, before, found = connection.execute(
            statement, {"ids": [f"{file_id}-%" for file_id in file_ids]}
        ).one()
    return Merged(added, int(before) - found)
