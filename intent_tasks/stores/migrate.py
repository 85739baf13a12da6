"""Bring schema `intent` to the newest version."""

from importlib import resources

from alembic import command
from alembic.config import Config

from intent_tasks.settings import Settings
from intent_tasks.stores import postgres


def migrate(settings: Settings) -> None:
    """Apply the migrations that are missing, in one transaction.

    Raises:
        TemporaryFailure: the server cannot be reached or gave up.
    """
    with postgres.changing(settings.migrator_url, "migrate") as connection:
        config = Config()
        folder = resources.files("intent_tasks") / "migrations"
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
