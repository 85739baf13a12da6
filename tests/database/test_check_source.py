"""What the shop lacks is report in plain words, with what it costs and how long to wait."""

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


def _report(settings):
    report = check_source.check(settings, NOW)
    return "\n".join(report.lines), report.problems


def test_the_report_of_an_empty_database_shows_what_to_create(settings):
    report, problems = _report(settings)
    assert "PROBLEM  There is no table or view shop.events" in report
    assert problems == 1


def test_missing_columns_wrong_types_and_missing_tables_are_named(settings):
    _change(
        settings,
        "CREATE TABLE shop.events (event_id bigint, customer_id uuid, occurred_at timestamp, "
        "price text, product_id int)",
        "CREATE TABLE shop.products (title text)",
    )
    report, problems = _report(settings)
    assert "PROBLEM  shop.events lacks event_type: one of view" in report
    assert "shop.events.occurred_at is TIMESTAMP and must be timestamp with time zone" in report
    assert "shop.events.price is TEXT and must be a number" in report
    assert "PROBLEM  shop.products lacks product_id" in report
    assert "costs    shop.events has no query_text: the model does not see searches." in report
    assert "costs    There is no shop.customers: consent is unknown" in report
    assert problems == 4


def test_a_missing_right_is_named_with_the_grant(settings):
    _days(settings, 1, 1)
    _change(settings, "REVOKE SELECT ON shop.events FROM intent_extract")
    report, problems = _report(settings)
    assert "may not read shop.events: grant it USAGE ON SCHEMA shop and SELECT" in report
    assert problems == 1


def test_too_few_days_are_counted_in_weeks(settings):
    _days(settings, 20, 10)
    report, problems = _report(settings)
    assert (
        f"PROBLEM  21 days of history; training needs {needed_days(settings.maturity_lag_days)} "
        in report
    )
    assert "(200 buyers in the 21 days up to 2026-06-30); about 8 more weeks" in report
    assert problems == 1


def test_the_report_of_three_days_counts_only_the_days(settings):
    rows = [
        {"event_id": f"e{n}", "customer_id": "c", "event_type": "purchase"}
        | {"occurred_at": datetime(2026, 6, 28 + n, 12, tzinfo=UTC)}
        for n in range(3)
    ]
    simulated_shop.load(settings, "a shop", "digest", [pa.Table.from_pylist(rows, files.SCHEMA)])
    assert "(1 buyers in the 3 days up to 2026-06-30); about 10 more weeks" in _report(settings)[0]


def test_too_few_buyers_are_counted_by_split(settings):
    _days(settings, 68, 8)
    report, problems = _report(settings)
    assert problems == 1, report
    assert f"customers purchase in the smallest split; each needs {LEAST_BUYERS}" in report
    assert "to calibrate" in report
    assert "about 2 more weeks" in report


def test_waiting_does_not_help_when_too_few_customers_buy(settings):
    _days(settings, 80, 1)
    _change(settings, "DELETE FROM shop.events WHERE event_id LIKE 'p%%' AND event_id > 'p4'")
    assert "waiting does not help" in _report(settings)[0]


def test_a_complete_shop_has_no_problems(settings, monkeypatch):
    _days(settings, 90, 8)
    report, problems = _report(settings)
    assert problems == 0
    assert "ok       Enough history to train on: 91 days" in report
    assert "ok       The newest event arrived 18.0 hours ago" in report
    assert "costs    shop.events.rating is always empty" in report
    monkeypatch.setattr(check_source, "load_settings", lambda: settings)
    ended = CliRunner().invoke(cli.app, ["check-source"])
    assert ended.exit_code == 0, ended.output
    assert ended.output.endswith("Nothing that is required is missing.\n")


def test_a_problem_ends_in_exit_code_78(settings, monkeypatch):
    monkeypatch.setattr(check_source, "load_settings", lambda: settings)
    ended = CliRunner().invoke(cli.app, ["check-source"])
    assert ended.exception.exit_code == 78
    assert "1 of these keep the system from working" in str(ended.exception)


def test_a_stopped_load_unknown_types_and_late_events_are_reported(settings):
    _days(settings, 3, 5)
    late = "UPDATE shop.events SET ingested_at = occurred_at + interval '2 days' "
    _change(
        settings,
        late + "WHERE event_id = 'v2/0'",
        "UPDATE shop.events SET event_type = 'look' WHERE event_id = 'v1/0'",
    )
    report = check_source.check(settings, NOW + timedelta(days=5))
    report = "\n".join(report.lines)
    assert "The newest event arrived 6 days ago" in report
    assert "1 events have the type 'look'" in report
    assert f"{1 / 30:.1%} arrived on a later day" in report


def test_future_events_are_reported_and_left_out_of_the_other_figures(settings):
    _days(settings, 90, 8)
    _change(
        settings,
        "UPDATE shop.events SET occurred_at = '2037-04-08 12:00+00', ingested_at = NULL "
        "WHERE event_id IN ('v0/0', 'v1/0')",
    )
    report, problems = _report(settings)
    assert "PROBLEM  2 events are more than a day in the future, up to 2037-04-08" in report
    assert "2026-04-01 to 2026-06-30" in report
    assert "ok       Enough history to train on: 91 days" in report
    assert "ok       The newest event arrived 18.0 hours ago" in report
    assert problems == 1


@pytest.mark.parametrize(
    ("change", "rule", "advice"),
    [
        ("event_id = split_part(event_id, '/', 1)", "event_id comes twice: 158", "order and line"),
        ("customer_id = NULL", "customer_id is missing: 160", "Exclude events without a customer"),
        ("event_type = 'Purchase'", "event_type is unknown: 160", "in lower case"),
    ],
)
def test_days_that_an_extract_would_refuse_are_a_problem(settings, change, rule, advice):
    _days(settings, 70, 80)
    _change(
        settings,
        "DROP INDEX IF EXISTS shop.events_event_id_key",
        "ALTER TABLE shop.events ALTER customer_id DROP NOT NULL",
        f"UPDATE shop.events SET {change} WHERE split_part(event_id, '/', 1) IN ('v9', 'p10')",
    )
    report, problems = _report(settings)
    assert problems == 1, report
    assert "PROBLEM  1 of the last 14 days with events would be refused: " in report
    assert "of 160 rows that arrived on 2026-06-20 cannot be used; at most 10 may be" in report
    assert rule in report
    assert advice in report


def test_events_that_are_sent_twice_are_no_problem(settings):
    _days(settings, 70, 80)
    _change(
        settings,
        "DROP INDEX IF EXISTS shop.events_event_id_key",
        "INSERT INTO shop.events SELECT * FROM shop.events "
        "WHERE split_part(event_id, '/', 1) = 'v9'",
        "INSERT INTO shop.events SELECT * FROM shop.events WHERE event_id = 'v9/7'",
    )
    report, problems = _report(settings)
    assert problems == 0, report
    assert "quarantine" not in report


def test_rows_that_go_to_quarantine_are_counted(settings):
    _days(settings, 90, 8)
    _change(
        settings, "UPDATE shop.events SET price = -1 WHERE event_id IN ('v9/1', 'v9/2', 'v5/1')"
    )
    report, problems = _report(settings)
    assert problems == 0
    assert "costs    3 of 216 rows of the last 14 days with events cannot be used" in report
    assert "By rule: price is below 0: 3." in report


def test_fewer_days_are_checked_when_they_hold_many_rows(settings, monkeypatch):
    _days(settings, 90, 8)
    monkeypatch.setattr(check_source, "MOST_ROWS", 20)
    _change(settings, "UPDATE shop.events SET price = -1 WHERE event_id IN ('v0/1', 'v9/2')")
    assert "1 of 24 rows of the last 2 days" in _report(settings)[0]


def test_a_placeholder_of_many_customers_is_named(settings):
    _days(settings, 90, 8)
    _change(settings, "UPDATE shop.events SET customer_id = 'NA' WHERE event_id LIKE 'v%%'")
    assert "costs    One customer, 'NA', has 50% of all events." in _report(settings)[0]


def test_one_customer_id_per_order_is_reported(settings):
    _days(settings, 90, 8)
    assert "one customer_id per order" not in _report(settings)[0]
    _change(settings, "UPDATE shop.events SET customer_id = event_id")
    report = _report(settings)[0]
    assert (
        "costs    0 of 1,440 customers came back on another day. Is there one customer_id per"
        in report
    )


def test_the_report_explains_what_the_splits_count(settings):
    _days(settings, 90, 8)
    buyers = "customers who purchase within 14 days, counted once for each day of a split: "
    assert f" buyers in the 76 days up to 2026-06-30; {buyers}" in _report(settings)[0]


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


def test_infinite_and_nan_prices_are_counted(settings):
    _days(settings, 3, 5)
    _change(settings, "UPDATE shop.events SET price = 'NaN' WHERE event_id IN ('v0/0', 'v0/1')")
    report, _ = _report(settings)
    assert "costs    2 events have NaN or infinity as price, which is read as null." in report
