"""Locks between the pipeline's transactions, and a time limit for readers."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.lock_tables import locks
from intent_tasks.stores.roles import READER_MINUTES


def take(connection: sa.Connection, name: str) -> None:
    """Lock a row that only roles of the pipeline can reach, until the transaction ends."""
    insert = postgresql.insert(locks).values(name=name)
    # The update never happens, but the row is locked before its condition is checked.
    lock_row = insert.on_conflict_do_update(
        index_elements=["name"], set_={"name": insert.excluded.name}, where=sa.false()
    )
    connection.execute(lock_row)


def end_overdue_readers(connection: sa.Connection) -> None:
    """End overdue sessions of analysts, who can lift their own time limits."""
    connection.execute(sa.select(sa.func.intent.end_overdue_readers(READER_MINUTES)))
