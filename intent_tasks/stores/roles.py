"""The roles in Postgres: their rights, passwords and time limits.

| role | may |
|---|---|
| intent_extract | read schema `shop` |
| intent_pipeline | read and write the tables of schema `intent`, not change them |
| intent_analyst | read predictions, outcomes, metrics and the views |
| intent_migrator | owns schema `intent`, and may end sessions of the analyst |
| intent_shop_owner | owns schema `shop`, where the shop is simulated or loaded from a file |
| mlflow, airflow | own the database of that name, and see no other |

A role can lift its own time limits, but not its number of connections. The pipeline ends sessions
of readers after `READER_MINUTES`, and the server reserves connections for the pipeline.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from psycopg2 import sql

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPICursor

TIMEOUTS_MINUTES = {
    "intent_extract": 60,
    "intent_pipeline": 60,
    "intent_analyst": 5,
    "intent_migrator": 60,
    "intent_shop_owner": 60,
    "mlflow": 5,
    "airflow": 15,
}
"""Role → minutes that a statement may take; it may wait for a lock half as long."""

READER_MINUTES = 2.0 * TIMEOUTS_MINUTES["intent_analyst"]
"""Minutes after which the pipeline ends an open transaction of the analyst."""

ANALYST_CONNECTIONS = 10
"""Maximum number of simultaneous connections of the analyst."""

ANALYST_LIMITS = {
    "idle_in_transaction_session_timeout": "5min",
    "temp_file_limit": "4GB",
}

_ESSENTIAL = ("intent_extract", "intent_pipeline", "intent_migrator", "intent_shop_owner")
"""Roles that may use the reserved connections."""

_DATABASE = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE SCHEMA IF NOT EXISTS shop AUTHORIZATION intent_shop_owner;
CREATE SCHEMA IF NOT EXISTS intent AUTHORIZATION intent_migrator;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public
    TO intent_extract, intent_pipeline, intent_analyst, intent_migrator, intent_shop_owner;
GRANT USAGE ON SCHEMA shop TO intent_extract;
ALTER DEFAULT PRIVILEGES FOR ROLE intent_shop_owner IN SCHEMA shop
    GRANT SELECT ON TABLES TO intent_extract;
GRANT intent_analyst TO intent_migrator;
"""

# By default every role may store large objects, fill the lock table that all databases share, and
# write to the write-ahead log.
_FUNCTIONS = """
DO $$
DECLARE
    function text;
BEGIN
    FOR function IN
        SELECT oid::regprocedure FROM pg_proc
        WHERE pronamespace = 'pg_catalog'::regnamespace
          AND proname ~ '^(lo_.*|loread|lowrite|pg_(try_)?advisory_.*|pg_logical_emit_message)$'
          AND has_function_privilege('public', oid, 'EXECUTE')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', function);
    END LOOP;
END $$;
"""

_RESERVED = """
DO $$
BEGIN
    IF to_regrole('pg_use_reserved_connections') IS NOT NULL THEN  -- since PostgreSQL 16
        GRANT pg_use_reserved_connections TO {roles};
    END IF;
END $$;
"""


def create_roles(admin_url: str, passwords: Mapping[str, str]) -> None:
    """Create the missing roles, set all passwords and limits, and prepare the two schemas.

    Args:
        admin_url: SQLAlchemy URL of a superuser in the database of the shop.
        passwords: password of each role.
    """
    import sqlalchemy as sa

    engine = sa.create_engine(admin_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        raw = connection.connection.dbapi_connection
        if raw is None:
            raise ValueError("the connection is closed")
        cursor = raw.cursor()
        for role, minutes in TIMEOUTS_MINUTES.items():
            _create(cursor, role, passwords[role], minutes)
        for statements in (_DATABASE, _FUNCTIONS, _RESERVED.format(roles=", ".join(_ESSENTIAL))):
            cursor.execute(statements)
        _limit_analyst(cursor)
        database = sa.make_url(admin_url).database or ""
        _limit_access(cursor, database)
        cursor.close()


def _create(cursor: "DBAPICursor", role: str, password: str, minutes: int) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    name = sql.Identifier(role)
    if cursor.fetchone() is None:
        cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
    cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(name, sql.Literal(password)))
    for setting, value in (("statement_timeout", minutes), ("lock_timeout", minutes / 2)):
        cursor.execute(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(
                name, sql.Identifier(setting), sql.Literal(f"{int(value * 60)}s")
            )
        )


def _limit_analyst(cursor: "DBAPICursor") -> None:
    cursor.execute(f"ALTER ROLE intent_analyst CONNECTION LIMIT {ANALYST_CONNECTIONS}")
    for setting, value in ANALYST_LIMITS.items():
        cursor.execute(f"ALTER ROLE intent_analyst SET {setting} = '{value}'")


def _limit_access(cursor: "DBAPICursor", database: str) -> None:
    name = sql.Identifier(database)
    roles = sql.SQL(", ").join(
        sql.Identifier(role) for role in TIMEOUTS_MINUTES if role.startswith("intent_")
    )
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    cursor.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, roles))
    cursor.execute(
        sql.SQL("GRANT TEMPORARY ON DATABASE {} TO intent_pipeline, intent_shop_owner").format(name)
    )
