"""How the pipeline's transactions hold off each other, and end readers that take too long."""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.lock_tables import locks
from intent_tasks.stores.roles import READER_MINUTES


def take(connection: sa.Connection, name: str) -> None:
    """Lock a row that only roles of the pipeline can reach, until the transaction ends."""
    insert = postgresql.insert(locks).values(name=name)
    # The update never takes place, but the row is locked before that is found out.
    taken = insert.on_conflict_do_update(
        index_elements=["name"], set_={"name": insert.excluded.name}, where=sa.false()
    )
    connection.execute(taken)


def end_overdue_readers(connection: sa.Connection) -> None:
    """End what an analyst may not do for so long: a role can lift its own time limits."""
    connection.execute(sa.select(sa.func.intent.end_overdue_readers(READER_MINUTES)))
