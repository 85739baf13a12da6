"""What a view gets wrong is named with its mend: ratings, times, ids, rights and types."""

import pytest

from intent_tasks.commands import check_source
from intent_tasks.errors import Refused
from intent_tasks.steps import extract, validate
from tests.database.test_consent_names import BOTH, EVENTS
from tests.database.test_shop_types import DAY, NOW, known, run

pytestmark = pytest.mark.database


@pytest.fixture
def settings(settings):
    """Settings that read two days of history, for speed."""
    return settings.model_copy(update={"history_days": 2, "last_day": None})


def events(settings, more="", event_type="view", customer="'c' || n", rows=40):
    run(
        settings,
        f"CREATE VIEW shop.events AS SELECT 'e' || n AS event_id, {customer} AS customer_id, "
        f"'{event_type}' AS event_type, timestamptz '2026-06-30 12:00Z' AS occurred_at {more} "
        f"FROM generate_series(1, {rows}) AS n",
    )


def report(settings):
    return "\n".join(check_source.check(settings, NOW).lines)


@pytest.mark.parametrize("kind", ["int", "smallint", "numeric", "real", "bigint"])
def test_a_rating_of_zero_is_none(settings, kind):
    rating = f", (CASE n WHEN 1 THEN 5 WHEN 2 THEN NULL ELSE 0 END)::{kind} AS rating"
    events(settings, rating, "purchase", rows=5)
    receipt = extract.run(settings, DAY)
    assert receipt["rows_quarantined"] == 0
    assert receipt["values_unreadable"] == {"rating cannot be read": 3}
    assert sorted(row["rating"] or 0 for row in known(settings)) == [0, 0, 0, 0, 5]


@pytest.mark.parametrize(
    ("columns", "mend"),
    [(", 9 AS rating", "NULLIF(rating, 9)"), (", -1 AS price", "NULLIF(price, -1)")],
)
def test_a_number_that_stands_for_none_is_named_with_its_mend(settings, columns, mend):
    events(settings, columns)
    assert mend in report(settings)


@pytest.mark.parametrize("at", ["1970-01-01Z", "0001-01-01Z", "-infinity", "2026-06-20Z"])
def test_events_that_arrived_before_they_happened_are_named(settings, at):
    arrived = f", CASE WHEN n < 13 THEN timestamptz '{at}' ELSE '2026-06-30 13:00Z' END"
    events(settings, f"{arrived} AS ingested_at")
    assert "12 events have an ingested_at of more than a day before they happened" in (
        said := report(settings)
    )
    assert "PROBLEM  12 events" in said
    assert "THEN occurred_at ELSE ingested_at END" in said


def test_a_few_events_that_arrived_before_they_happened_cost_them(settings):
    arrived = ", CASE n WHEN 1 THEN timestamptz '1970-01-01Z' WHEN 2 THEN '2026-06-29 13:00Z' END"
    events(settings, f"{arrived} AS ingested_at")
    assert "costs    1 events have an ingested_at" in report(settings)


MARKS = ["guest", "Anonymous", "-", "?", "\u00a0", "\ufeff", "0.0", "-1.0", "N/A", "\u200bnull ",
         "'undefined'", "user_id", "(not set)", "--", ".", "none", "unknown"]  # fmt: skip


@pytest.mark.parametrize("mark", MARKS)
def test_a_text_that_stands_for_nobody_is_named(settings, mark):
    text = "'" + mark.replace("'", "''") + "'"
    events(settings, customer=f"CASE WHEN n < 4 THEN {text} ELSE 'c' || n END")
    assert f"3 events have the customer_id {mark!r}, a placeholder" in report(settings)


WRITTEN = {
    "blanks around them": "'c' || n || CASE WHEN n < 8 THEN ' ' ELSE '' END",
    "case": "CASE WHEN n < 8 THEN 'C' ELSE 'c' END || n",
    "characters that are not seen, or accents written otherwise": (
        "'c' || n || CASE WHEN n < 8 THEN chr(8203) ELSE '' END"
    ),
    "decimals": "CASE WHEN n < 8 THEN n || '.0' ELSE n::text END",
}


@pytest.mark.parametrize("name", WRITTEN)
def test_some_ids_that_are_written_otherwise_are_named(settings, name):
    customer = "n::text" if name == "decimals" else "'c' || n"
    events(settings, customer=customer)
    run(
        settings,
        f"CREATE VIEW shop.customers AS SELECT {WRITTEN[name]} AS customer_id, {BOTH} "
        "FROM generate_series(1, 40) AS n",
    )
    said = report(settings)
    assert "Of 40 customers with events 33 have a row" in said
    assert f"7 more would have one if ids did not differ in {name}" in said
    assert "Most ids look like" not in said


@pytest.mark.parametrize("table", ["events", "customers"])
def test_a_right_that_is_missing_is_named_with_its_grant(settings, table):
    run(settings, EVENTS.replace("VIEW", "TABLE"))
    run(
        settings,
        f"CREATE TABLE shop.customers AS SELECT 'c' || n AS customer_id, {BOTH}, false AS "
        "suppressed FROM generate_series(1, 40) AS n",
        f"REVOKE ALL ON shop.{table} FROM intent_extract, PUBLIC",
        f"GRANT SELECT (customer_id) ON shop.{table} TO intent_extract",
    )
    for step in (extract, validate) if table == "events" else (validate,):
        with pytest.raises(Refused, match=rf"GRANT SELECT ON shop\.{table} TO") as refused:
            step.run(settings, DAY)
        assert "intent migrate" not in str(refused.value)


def test_a_function_that_may_not_be_called_is_named_with_its_grant(settings):
    run(
        settings,
        "CREATE FUNCTION shop.f(int) RETURNS text LANGUAGE sql AS $$SELECT 'c' || $1$$",
        "REVOKE ALL ON FUNCTION shop.f(int) FROM PUBLIC",
    )
    events(settings, customer="shop.f(n)")
    with pytest.raises(Refused, match=r"function f .*GRANT EXECUTE ON FUNCTION f TO") as refused:
        extract.run(settings, DAY)
    assert "intent migrate" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "cast"),
    [
        ("price", "NULL::double precision"),
        ("quantity", "NULL::integer"),
        ("ingested_at", "NULL::timestamptz"),
    ],
)
def test_a_null_without_a_type_is_named_with_its_cast(settings, name, cast):
    events(settings, f", NULL AS {name}")
    assert cast in report(settings)
    with pytest.raises(Refused, match=cast):
        extract.run(settings, DAY)
