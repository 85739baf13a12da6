"""URLs of databases: engines, and the meaning of connection errors."""

from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import make_dsn
from pydantic import SecretStr

from intent_tasks import failures
from intent_tasks.database_url import usual_arguments
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
"""Arguments of every connection, unless its address has them."""

_OF_DRIVER = {"async", "async_", "connection_factory", "cursor_factory", "dsn"}
"""Arguments of the driver that are no parameters of an address."""


def engine(url: SecretStr) -> "sa.Engine":
    """Return an engine without a pool, because a step has only a few transactions."""
    import sqlalchemy as sa

    address = address_of(url).set(drivername="postgresql+psycopg2")
    return sa.create_engine(
        address,
        poolclass=sa.NullPool,
        hide_parameters=True,
        connect_args=connect_arguments(url),
    )


def connect_arguments(url: SecretStr) -> dict[str, Any]:
    """Return the arguments of psycopg2 for an address; several hosts are joined by commas.

    Raises:
        BadInput: it is not a URL, or has parameters that Postgres does not know.
    """
    given = usual_arguments(url.get_secret_value()) or _all_arguments(url)
    return {**CONNECT_ARGUMENTS, **given}


def _all_arguments(url: SecretStr) -> dict[str, Any]:
    address = address_of(url)
    if unknown := _OF_DRIVER & set(address.query):
        raise BadInput(
            f"{setting_of(url)} has {', '.join(sorted(unknown))}, which is no parameter of an "
            "address of Postgres. Leave it out."
        )
    if "host" in address.query:  # several, each with its port
        from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2  # takes 0.1 s

        dialect: Any = PGDialect_psycopg2
        return dict(dialect().create_connect_args(address)[1])
    return address.translate_connect_args(username="user", database="dbname") | address.query


def conninfo(url: SecretStr) -> str:
    """Return an address as libpq reads it, with the arguments of every connection.

    Raises:
        BadInput: as `connect_arguments`.
    """
    arguments = connect_arguments(url)
    del arguments["cursor_factory"]
    try:
        return str(make_dsn(**arguments))
    except psycopg2.Error as error:
        raise failure(error, url) from None


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
