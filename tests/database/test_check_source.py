"""What the shop lacks is said in plain words, with what it costs and how long to wait."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from intent_tasks import cli
from intent_tasks.commands import check_source
from intent_tasks.core.anchors import needed_days, training_split
from intent_tasks.definition import LEAST_BUYERS
from intent_tasks.formats import files
from intent_tasks.stores import postgres, simulated_shop
from intent_tasks.stores.extracting import source_facts

pytestmark = pytest.mark.database

NOW = datetime(2026, 7, 1, 6, tzinfo=UTC)
LAST = date(2026, 6, 30)


@pytest.fixture
def settings(settings):
    """Settings of a shop that goes on."""
    return settings.model_copy(update={"last_day": None})


def _change(settings, *statements):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _days(settings, days, buyers_a_day):
    """Load a shop where `buyers_a_day` new customers look one day and purchase on the next."""
    rows = []
    for n in range(days):
        noon = datetime.combine(LAST - timedelta(days=n), datetime.min.time(), UTC)
        noon += timedelta(hours=12)
        for c in range(buyers_a_day):
            row = {"customer_id": f"c{n}/{c}", "occurred_at": noon - timedelta(days=1)}
            rows.append(row | {"event_id": f"v{n}/{c}", "event_type": "view"})
            row = {"customer_id": f"c{n}/{c}", "occurred_at": noon}
            rows.append(row | {"event_id": f"p{n}/{c}", "event_type": "purchase"})
    simulated_shop.load(settings, "a shop", "digest", [pa.Table.from_pylist(rows, files.SCHEMA)])


def _said(settings):
    report = check_source.check(settings, NOW)
    return "\n".join(report.lines), report.problems


def test_a_shop_without_events_is_told_what_to_make(settings):
    said, problems = _said(settings)
    assert "PROBLEM  There is no table or view shop.events" in said
    assert problems == 1


def test_missing_columns_wrong_types_and_missing_tables_are_named(settings):
    _change(
        settings,
        "CREATE TABLE shop.events (event_id bigint, customer_id uuid, occurred_at timestamp, "
        "price text, product_id int)",
        "CREATE TABLE shop.products (title text)",
    )
    said, problems = _said(settings)
    assert "PROBLEM  shop.events lacks event_type: one of view" in said
    assert "shop.events.occurred_at is TIMESTAMP and must be timestamp with time zone" in said
    assert "shop.events.price is TEXT and must be a number" in said
    assert "PROBLEM  shop.products lacks product_id" in said
    assert "costs    shop.events has no query_text: what customers search for is not read." in said
    assert "costs    There is no shop.customers: consent is not known" in said
    assert problems == 4


def test_a_missing_right_is_named_with_the_grant(settings):
    _days(settings, 1, 1)
    _change(settings, "REVOKE SELECT ON shop.events FROM intent_extract")
    said, problems = _said(settings)
    assert "may not read shop.events: GRANT USAGE ON SCHEMA shop, and SELECT" in said
    assert problems == 1


def test_too_few_days_are_counted_in_weeks(settings):
    _days(settings, 20, 10)
    said, problems = _said(settings)
    assert (
        f"PROBLEM  21 days of history, {needed_days(settings.maturity_lag_days)} needed to learn"
        in said
    )
    assert "(200 buyers in the 21 days up to 2026-06-30); about 8 more weeks" in said
    assert problems == 1


def test_of_a_shop_of_three_days_only_the_days_are_told(settings):
    rows = [
        {"event_id": f"e{n}", "customer_id": "c", "event_type": "purchase"}
        | {"occurred_at": datetime(2026, 6, 28 + n, 12, tzinfo=UTC)}
        for n in range(3)
    ]
    simulated_shop.load(settings, "a shop", "digest", [pa.Table.from_pylist(rows, files.SCHEMA)])
    assert "(1 buyers in the 3 days up to 2026-06-30); about 10 more weeks" in _said(settings)[0]


def test_too_few_buyers_are_counted_per_part(settings):
    _days(settings, 68, 8)
    said, problems = _said(settings)
    assert problems == 1, said
    assert f"customers purchase in the smallest part, {LEAST_BUYERS} needed in each" in said
    assert "to calibrate" in said
    assert "about 2 more weeks" in said


def test_more_weeks_do_not_help_where_business_is_too_slow(settings):
    _days(settings, 80, 1)
    _change(settings, "DELETE FROM shop.events WHERE event_id LIKE 'p%%' AND event_id > 'p4'")
    assert "time alone will not bring enough" in _said(settings)[0]


def test_enough_is_said_and_nothing_keeps_it_from_working(settings, monkeypatch):
    _days(settings, 90, 8)
    said, problems = _said(settings)
    assert problems == 0
    assert "ok       Enough history to learn from: 91 days" in said
    assert "ok       The newest event arrived 18.0 hours ago" in said
    assert "costs    shop.events.rating is always empty" in said
    monkeypatch.setattr(check_source, "load_settings", lambda: settings)
    ended = CliRunner().invoke(cli.app, ["check-source"])
    assert ended.exit_code == 0, ended.output
    assert ended.output.endswith("Everything that is needed is there.\n")


def test_a_problem_ends_in_exit_code_78(settings, monkeypatch):
    monkeypatch.setattr(check_source, "load_settings", lambda: settings)
    ended = CliRunner().invoke(cli.app, ["check-source"])
    assert ended.exception.exit_code == 78
    assert "1 of these keep the system from working" in str(ended.exception)


def test_a_load_that_stopped_unknown_types_and_late_events_are_said(settings):
    _days(settings, 3, 5)
    late = "UPDATE shop.events SET ingested_at = occurred_at + interval '2 days' "
    _change(
        settings,
        late + "WHERE event_id = 'v2/0'",
        "UPDATE shop.events SET event_type = 'look' WHERE event_id = 'v1/0'",
    )
    report = check_source.check(settings, NOW + timedelta(days=5))
    said = "\n".join(report.lines)
    assert "The newest event arrived 6 days ago" in said
    assert "1 events are of the type 'look'" in said
    assert f"{1 / 30:.1%} arrived on a later day" in said


def test_events_of_the_future_are_named_and_the_rest_is_told_without_them(settings):
    _days(settings, 90, 8)
    _change(
        settings,
        "UPDATE shop.events SET occurred_at = '2037-04-08 12:00+00', ingested_at = NULL "
        "WHERE event_id IN ('v0/0', 'v1/0')",
    )
    said, problems = _said(settings)
    assert "PROBLEM  2 events are of more than a day from now, up to 2037-04-08" in said
    assert "2026-04-01 to 2026-06-30" in said
    assert "ok       Enough history to learn from: 91 days" in said
    assert "ok       The newest event arrived 18.0 hours ago" in said
    assert problems == 1


@pytest.mark.parametrize(
    ("change", "rule", "mend"),
    [
        ("event_id = split_part(event_id, '/', 1)", "event_id comes twice: 158", "order and line"),
        ("customer_id = NULL", "customer_id is missing: 160", "Leave events that nobody is known"),
        ("event_type = 'Purchase'", "event_type is unknown: 160", "as lower case"),
    ],
)
def test_days_that_an_extract_would_refuse_are_a_problem(settings, change, rule, mend):
    _days(settings, 70, 80)
    _change(
        settings,
        "DROP INDEX IF EXISTS shop.events_event_id_key",
        "ALTER TABLE shop.events ALTER customer_id DROP NOT NULL",
        f"UPDATE shop.events SET {change} WHERE split_part(event_id, '/', 1) IN ('v9', 'p10')",
    )
    said, problems = _said(settings)
    assert problems == 1, said
    assert "PROBLEM  1 of the last 14 days with events would be refused: " in said
    assert "of 160 rows that arrived on 2026-06-20 cannot be used, and 10 may be set aside" in said
    assert rule in said
    assert mend in said


def test_events_that_were_sent_again_are_no_problem(settings):
    _days(settings, 70, 80)
    _change(
        settings,
        "DROP INDEX IF EXISTS shop.events_event_id_key",
        "INSERT INTO shop.events SELECT * FROM shop.events "
        "WHERE split_part(event_id, '/', 1) = 'v9'",
        "INSERT INTO shop.events SELECT * FROM shop.events WHERE event_id = 'v9/7'",
    )
    said, problems = _said(settings)
    assert problems == 0, said
    assert "set aside" not in said


def test_rows_that_may_be_set_aside_are_counted(settings):
    _days(settings, 90, 8)
    _change(
        settings, "UPDATE shop.events SET price = -1 WHERE event_id IN ('v9/1', 'v9/2', 'v5/1')"
    )
    said, problems = _said(settings)
    assert problems == 0
    assert "costs    3 of 216 rows of the last 14 days with events cannot be used" in said
    assert "By rule: price is below 0: 3." in said


def test_not_more_days_are_judged_than_rows_allow(settings, monkeypatch):
    _days(settings, 90, 8)
    monkeypatch.setattr(check_source, "MOST_ROWS", 20)
    _change(settings, "UPDATE shop.events SET price = -1 WHERE event_id IN ('v0/1', 'v9/2')")
    assert "1 of 24 rows of the last 2 days" in _said(settings)[0]


def test_one_customer_who_stands_for_many_is_named(settings):
    _days(settings, 90, 8)
    _change(settings, "UPDATE shop.events SET customer_id = 'NA' WHERE event_id LIKE 'v%%'")
    assert "costs    One customer, 'NA', has 50% of all events." in _said(settings)[0]


def test_an_id_for_each_order_is_asked_about(settings):
    _days(settings, 90, 8)
    assert "one per order" not in _said(settings)[0]
    _change(settings, "UPDATE shop.events SET customer_id = event_id")
    said = _said(settings)[0]
    assert "costs    0 of 1,440 customers came back on another day. Is customer_id one per" in said


def test_what_the_parts_count_is_said(settings):
    _days(settings, 90, 8)
    said = "who purchases within 14 days, counted once for each day that is learned from: "
    assert f" buyers in the 76 days up to 2026-06-30; {said}" in _said(settings)[0]


def test_buyers_are_those_that_training_counts(settings):
    """Against a count in Python over the same rows."""
    _days(settings, 80, 2)
    days, lag = settings.training_days, settings.maturity_lag_days
    split = training_split(LAST - timedelta(days=80), LAST, days, lag)
    with postgres.reading(settings.shop_url) as connection:
        found = source_facts.buyers(connection, settings, vars(split))
        rows = connection.execute(
            sa.text("SELECT customer_id, event_type, occurred_at::date FROM shop.events")
        ).all()
    for part, anchors in vars(split).items():
        expected = 0
        for anchor in anchors:
            known = {c for c, _, day in rows if anchor - timedelta(days=30) < day <= anchor}
            until = anchor + timedelta(days=14)
            expected += len(
                {c for c, kind, d in rows if kind == "purchase" and anchor < d <= until} & known
            )
        assert found[part] == expected > 0


def test_prices_that_are_no_number_are_counted(settings):
    _days(settings, 3, 5)
    _change(settings, "UPDATE shop.events SET price = 'NaN' WHERE event_id IN ('v0/0', 'v0/1')")
    said, _ = _said(settings)
    assert "costs    2 events have the price NaN or infinity: it is read as null." in said
