"""Bring schema `intent` to the newest version."""

from importlib import resources

from alembic import command
from alembic.config import Config
from psycopg2.errors import LockNotAvailable

from intent_tasks.errors import TemporaryFailure
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres

LOCK_SECONDS = 10
"""How long a migration waits for readers of a table; meanwhile nobody else can read it."""

# The first statement of a migration: the owner of the schema alone can hold this lock.
_ALONE = "COMMENT ON SCHEMA intent IS 'Purchase intent: docs/tables.md'"


def migrate(settings: Settings) -> None:
    """Apply the migrations that are missing, in one transaction.

    Raises:
        TemporaryFailure: the server cannot be reached or gave up, or somebody reads a table that is
            changed.
    """
    try:
        _migrate(settings)
    except TemporaryFailure as error:
        if not isinstance(getattr(error.__cause__, "orig", None), LockNotAvailable):
            raise
        raise TemporaryFailure(
            f"For {LOCK_SECONDS} s somebody has used a table that the migration changes. Nothing "
            "was changed. Run `intent migrate` again when they have ended: pg_stat_activity names "
            "them, the earliest xact_start first."
        ) from None


def _migrate(settings: Settings) -> None:
    with postgres.changing(settings.migrator_url, None) as connection:
        connection.exec_driver_sql(_ALONE)
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{LOCK_SECONDS}s'")
        config = Config()
        folder = resources.files("intent_tasks") / "migrations"
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
