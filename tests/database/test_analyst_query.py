"""`intent sql`: what an analyst's query prints, and how a refused one is explained."""

import pytest
import sqlalchemy as sa

from intent_tasks.errors import BadInput
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
