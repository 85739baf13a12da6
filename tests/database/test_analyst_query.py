"""`intent sql`: what an analyst's query prints, and how a refused one is explained."""

from contextlib import nullcontext

import pytest
import sqlalchemy as sa

from intent_tasks.errors import BadInput
from intent_tasks.settings import DatabaseUrl
from intent_tasks.stores import postgres
from intent_tasks.stores.analyst_query import query_as_csv

pytestmark = pytest.mark.database


@pytest.mark.parametrize("kind", ["json", "jsonb"])
@pytest.mark.parametrize("value", ['{"a": null, "b": true}', '[{"a": 1}]', '"text"', "1"])
def test_json_is_printed_as_json_text(settings, kind, value):
    printed = query_as_csv(settings.analyst_url, f"SELECT '{value}'::{kind} AS v")
    quoted = value.replace('"', '""')
    assert printed == "v\r\n" + (f'"{quoted}"' if '"' in value else value) + "\r\n"


def test_a_refused_query_shows_the_line_the_place_and_the_hint(settings):
    with pytest.raises(BadInput) as refused:
        query_as_csv(
            settings.analyst_url, "SELECT 1,\n  customerid\nFROM intent.latest_predictions"
        )
    assert str(refused.value) == (
        'column "customerid" does not exist\n'
        "LINE 2:   customerid\n"
        "          ^\n"
        'HINT:  Perhaps you meant to reference the column "latest_predictions.customer_id".'
    )


def test_a_refused_query_shows_no_row(settings):
    with postgres.changing(settings.migrator_url, None) as connection:
        for statement in (
            "CREATE FUNCTION intent.fail() RETURNS int LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE 'no' USING DETAIL = 'Failing row contains (ada)'; END $$",
            "GRANT EXECUTE ON FUNCTION intent.fail() TO intent_analyst",
        ):
            connection.execute(sa.text(statement))
    with pytest.raises(BadInput) as refused:
        query_as_csv(settings.analyst_url, "SELECT intent.fail()")
    assert str(refused.value) == "no"


@pytest.mark.parametrize(
    ("expression", "printed"),
    [
        ("'infinity'::date", "infinity"),
        ("'-infinity'::timestamptz", "-infinity"),
        ("'0044-03-15 BC'::date", "0044-03-15 BC"),
        ("'10000-01-01'::date", "10000-01-01"),
        ("'\\x6162'::bytea", "\\x6162"),
        ("ARRAY[1, NULL, 2]", '"{1,NULL,2}"'),
        ("ARRAY['a b', 'c']", '"{""a b"",c}"'),
        ("interval '1000000 years'", "1000000 years"),
        ("interval '1 month 2 days'", "1 mon 2 days"),
        ("0.1::float8", "0.1"),
        ("'NaN'::numeric", "NaN"),
        ("1::bigint", "1"),
        ("true", "True"),
        ("NULL::bool", '""'),
        ("'a,b'", '"a,b"'),
        ("'10:00'::time", "10:00:00"),
    ],
)
def test_a_value_is_printed_as_postgres_writes_it(settings, expression, printed):
    assert query_as_csv(settings.analyst_url, f"SELECT {expression} AS v") == f"v\r\n{printed}\r\n"


def changed(settings, end, old="", new=""):
    address = settings.analyst_url.get_secret_value().replace(old, new)
    return named(address + end)


def named(address):
    url = DatabaseUrl(address)
    url.setting = "INTENT_ANALYST_URL"
    return url


@pytest.mark.parametrize(
    ("end", "query", "printed"),
    [
        ("?connect_timeout=5", "SELECT 1 AS v", "1"),
        ("?application_name=report", "SELECT current_setting('application_name') AS v", "report"),
        ("", "SELECT current_setting('application_name') AS v", "intent"),
        ("?keepalives_idle=5&options=-cwork_mem%3D1MB", "SHOW work_mem", "1MB"),
        ("?cursor_factory=x", "SELECT 1 AS v", None),
    ],
)
@pytest.mark.parametrize("ask", ["sql", "reading", "arrow"])
def test_parameters_of_an_address_are_used_by_every_connection(settings, end, query, printed, ask):
    url = changed(settings, end)
    with pytest.raises(BadInput) if printed is None else nullcontext():
        if ask == "sql":
            found = query_as_csv(url, query).split()[1]
        elif ask == "reading":
            with postgres.reading(url) as connection:
                found = str(connection.scalar(sa.text(query)))
        else:
            with postgres.arrow_session(url) as session:
                found = str(session.read(query.replace("SHOW work_mem", WORK)).read_all()[0][0])
    assert printed is None or found == printed


WORK = "SELECT current_setting('work_mem')"


@pytest.mark.parametrize("ask", ["sql", "reading", "arrow"])
def test_an_address_of_several_hosts_reaches_the_one_that_answers(settings, ask):
    address = sa.make_url(settings.analyst_url.get_secret_value())
    hosts = ("127.0.0.1:9", f"{address.host}:{address.port}")
    several = sa.URL.create(
        "postgresql", address.username, address.password, database=address.database,
        query={"host": hosts},
    )  # fmt: skip
    url = named(several.render_as_string(hide_password=False))
    if ask == "sql":
        assert query_as_csv(url, "SELECT 1 AS v") == "v\r\n1\r\n"
    elif ask == "reading":
        with postgres.reading(url) as connection:
            assert connection.scalar(sa.text("SELECT 1")) == 1
    else:
        with postgres.arrow_session(url) as session:
            assert session.read("SELECT 1").read_all().num_rows == 1


@pytest.mark.parametrize("end", ["?sslmode=maybe", "?target_session_attrs=x", "?connect_timeout=x"])
@pytest.mark.parametrize("ask", [postgres.reading, postgres.arrow_session, None])
def test_a_parameter_that_cannot_be_used_is_refused(settings, end, ask):
    url = changed(settings, end)
    with pytest.raises(BadInput, match="INTENT_ANALYST_URL"):
        query_as_csv(url, "SELECT 1") if ask is None else ask(url).__enter__()


def test_copy_is_refused_with_what_to_do(settings):
    with pytest.raises(BadInput, match=r"Give the SELECT alone") as refused:
        query_as_csv(settings.analyst_url, "copy (select 1) to stdout")
    assert "copy_to" not in str(refused.value)
