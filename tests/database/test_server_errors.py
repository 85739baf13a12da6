"""No row and no parameter comes out of Postgres with an error, in a message or in a log."""

import traceback

import psycopg2
import pyarrow as pa
import pytest
import sqlalchemy as sa

from intent_tasks.stores import postgres
from intent_tasks.tables import customer_keys

pytestmark = pytest.mark.database

PLANTED = "planted.person@mail.example"


def rows(*ids):
    return pa.table({"customer_id": ids, "customer_key": ids, "key_id": ["k1"] * len(ids)})


def insert(connection):
    connection.execute(sa.insert(customer_keys), [{"customer_id": PLANTED, "customer_key": "a"}])


def insert_twice(connection):
    values = {"customer_id": PLANTED, "customer_key": "a", "key_id": "k1"}
    for _ in range(2):
        connection.execute(sa.insert(customer_keys), [values])


def copy_twice(connection):
    postgres.copy_in(connection, customer_keys, rows(PLANTED, PLANTED))


def copy_null(connection):
    postgres.copy_in(connection, customer_keys, rows(PLANTED).set_column(2, "key_id", [[None]]))


def copy_text_as_a_date(connection):
    bad = pa.table({"as_of_date": ["2026-06-01", PLANTED]})
    connection.exec_driver_sql("CREATE TEMPORARY TABLE days (as_of_date date, note text)")
    postgres.copy_in(connection, "days", bad)


@pytest.mark.parametrize("write", [insert, insert_twice, copy_twice, copy_null])
def test_a_row_that_is_refused_is_in_no_traceback(settings, write):
    with (
        postgres.engine(settings.pipeline_url).connect() as connection,
        pytest.raises((sa.exc.IntegrityError, psycopg2.IntegrityError)) as failed,
    ):
        write(connection)
    shown = "".join(traceback.format_exception(failed.value))
    assert "violates" in shown
    assert PLANTED not in shown.replace(f'PLANTED = "{PLANTED}"', "")


def test_the_control_the_driver_itself_quotes_the_row(settings):
    plain = sa.make_url(settings.pipeline_url.get_secret_value())
    engine = sa.create_engine(plain, poolclass=sa.NullPool)
    with engine.connect() as connection, pytest.raises(sa.exc.IntegrityError) as failed:
        insert(connection)
    assert f"Failing row contains ({PLANTED}" in str(failed.value)


def test_a_copy_that_fails_quotes_no_line_of_it(settings):
    with (
        postgres.engine(settings.pipeline_url).connect() as connection,
        pytest.raises(psycopg2.DataError) as failed,
    ):
        copy_text_as_a_date(connection)
    assert "CONTEXT" not in str(failed.value)
    assert len(str(failed.value).splitlines()) == 1


def fail(connection):
    for statement in (
        f"SELECT '{PLANTED}'::integer",
        f"SELECT * FROM intent.none WHERE customer_id = '{PLANTED}'",
        f"INSERT INTO intent.customer_keys VALUES ('{PLANTED}', NULL, NULL)",
        f'SELECT "{PLANTED}"',
    ):
        with pytest.raises(sa.exc.DBAPIError):
            connection.execute(sa.text(statement))
        connection.rollback()


def test_the_log_of_the_server_holds_no_value_of_a_statement_that_failed(postgres_server, settings):
    with postgres.engine(settings.pipeline_url).connect() as connection:
        fail(connection)
        connection.exec_driver_sql("SELECT 1")
    assert "ready to accept connections" in postgres_server.log.read_text()
    assert PLANTED not in postgres_server.log.read_text()


def test_the_control_the_log_of_a_server_as_it_is_installed_holds_them(postgres_server, tmp_path):
    database = "postgres"
    engine = sa.create_engine(
        postgres_server.url(database).get_secret_value(), poolclass=sa.NullPool
    )
    other = PLANTED.replace("planted", "control")
    with engine.connect() as connection:
        for name, value in (("log_min_messages", "warning"), ("log_min_error_statement", "error")):
            connection.exec_driver_sql(f"SET {name} = '{value}'")
        connection.commit()
        with pytest.raises(sa.exc.DBAPIError):
            connection.exec_driver_sql(f"SELECT '{other}'::integer")
    assert postgres_server.log.read_text().count(other) == 2, "in the message and the statement"
