"""URLs of databases: engines, and the meaning of connection errors."""

from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from intent_tasks import failures
from intent_tasks.errors import BadInput, IntentError
from intent_tasks.stores.server_errors import Cursor

if TYPE_CHECKING:
    import sqlalchemy as sa  # takes as long to import as `intent status` runs

CONNECT_ARGUMENTS: dict[str, Any] = {
    "cursor_factory": Cursor,
    "connect_timeout": 10,
    "application_name": "intent",
    # A half-open connection is noticed within a minute, not after the two hours of TCP.
    "keepalives_idle": 20,
    "keepalives_interval": 10,
    "keepalives_count": 4,
}
"""Arguments of every connection, beside its address."""


def engine(url: SecretStr) -> "sa.Engine":
    """Return an engine without a pool, because a step has only a few transactions."""
    import sqlalchemy as sa

    address = address_of(url).set(drivername="postgresql+psycopg2")
    return sa.create_engine(
        address,
        poolclass=sa.NullPool,
        hide_parameters=True,
        connect_args=CONNECT_ARGUMENTS,
    )


def address_of(url: SecretStr) -> "sa.URL":
    """Return the address of a database.

    Raises:
        BadInput: it is not a URL; the message names the setting, not its value.
    """
    import sqlalchemy as sa

    try:
        return sa.make_url(url.get_secret_value())
    except (sa.exc.ArgumentError, ValueError):
        raise BadInput(
            f"{setting_of(url)} is no address of a database. Write it like "
            "postgresql://ROLE:PASSWORD@HOST:5432/DATABASE."
        ) from None


def setting_of(url: SecretStr) -> str:
    """Return the name of the setting of an address, if it is known."""
    return getattr(url, "setting", "the address of the database")


def failure(error: Exception, url: SecretStr) -> IntentError:
    """Return the error of ours for an error of the driver: a temporary failure or a refusal."""
    return failures.of_postgres(error, setting_of(url))
