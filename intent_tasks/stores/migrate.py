"""Bring schema `intent` to the newest version."""

from importlib import resources

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from psycopg2.errors import LockNotAvailable

from intent_tasks.errors import TemporaryFailure
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres

LOCK_SECONDS = 10
"""Seconds that a migration waits for readers of a table. New readers wait as long."""

# The first statement of a migration. Only the owner of the schema can take its lock.
_ALONE = "COMMENT ON SCHEMA intent IS 'Purchase intent: docs/tables.md'"

_SESSIONS = """
SELECT DISTINCT ON (a.pid) a.usename, c.relname, a.pid
FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    JOIN pg_class AS c ON c.oid = l.relation
WHERE l.locktype = 'relation' AND l.granted AND a.pid <> pg_backend_pid()
    AND c.relkind IN ('r', 'p') AND a.datname = current_database()
    AND c.relnamespace = 'intent'::regnamespace
ORDER BY a.pid, c.relname
LIMIT 5
"""


def migrate(settings: Settings) -> None:
    """Apply the missing migrations in one transaction.

    Raises:
        TemporaryFailure: the server cannot be reached or ended the session, or a session reads a
            table that is changed.
    """
    try:
        _migrate(settings)
    except TemporaryFailure as error:
        if not isinstance(getattr(error.__cause__, "orig", None), LockNotAvailable):
            raise
        raise TemporaryFailure(
            f"For {LOCK_SECONDS} s other sessions have used a table that the migration changes"
            f"{_describe_sessions(settings)}. Nothing was changed. Run `intent migrate` again when "
            "they have ended: pg_stat_activity lists them; the earliest xact_start is the oldest."
        ) from None


def _describe_sessions(settings: Settings) -> str:
    """Return the roles that use tables of schema `intent` now, with a table and their process."""
    with postgres.reading(settings.migrator_url) as connection:
        sessions = connection.execute(sa.text(_SESSIONS)).all()
    named = [f"{role} ({table}, process {process})" for role, table, process in sessions]
    return f": {', '.join(named)}" if named else ""


def _migrate(settings: Settings) -> None:
    with postgres.changing(settings.migrator_url, None) as connection:
        connection.exec_driver_sql(_ALONE)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        config = Config()
        folder = resources.files("intent_tasks") / "migrations"
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
