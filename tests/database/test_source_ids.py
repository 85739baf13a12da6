"""Ids of two events, placeholders of ids, and impossible times are counted."""

from collections import Counter
from datetime import timedelta

import pytest

from intent_tasks.commands import check_source
from intent_tasks.errors import Refused
from intent_tasks.steps import window
from intent_tasks.stores import snapshots
from intent_tasks.stores.extracting import copy_days
from tests.database.test_check_source import LAST, NOW, _change, _days, _report

pytestmark = pytest.mark.database


@pytest.fixture
def settings(settings):
    """Settings of a shop that goes on."""
    return settings.model_copy(update={"last_day": None})


def _orders_and_views(settings, orders, prefix=""):
    """Make a view of orders 1… and views 1…, the order of a number days after its view."""
    _change(
        settings,
        "CREATE VIEW shop.events AS SELECT n::text AS event_id, 'c' || n %% 7 AS customer_id, "
        "'view' AS event_type, 'p' || n %% 5 AS product_id, "
        "timestamptz '2026-06-10 00:00Z' + n * interval '10 minutes' AS occurred_at "
        "FROM generate_series(1, 1000) AS n UNION ALL "
        f"SELECT '{prefix}' || n, 'c' || n %% 5, 'purchase', 'p' || n %% 3, "
        "timestamptz '2026-06-20 00:00Z' + n * interval '10 minutes' "
        f"FROM generate_series(1, {orders}) AS n",
    )


@pytest.mark.parametrize(
    ("orders", "report"),
    [
        (300, "PROBLEM  300 ids belong to two different events"),
        (5, "costs    5 ids belong to two different events"),
        (1, "costs    1 id belongs to two different events"),
    ],
)
def test_ids_of_two_events_are_counted_with_advice(settings, orders, report):
    _orders_and_views(settings, orders)
    lines = _report(settings)[0]
    assert report in lines
    assert "Add a prefix to the ids of each kind in the view, such as 'o' ||" in lines


def test_ids_with_a_prefix_belong_to_one_event_each(settings):
    _orders_and_views(settings, 300, "o")
    assert "two different events" not in _report(settings)[0]


def test_no_purchase_is_lost_to_a_view_with_its_id(settings):
    _orders_and_views(settings, 300)
    settings = settings.model_copy(update={"history_days": 30})
    copy_days.complete_snapshots(settings, LAST - timedelta(days=29), LAST)
    known = snapshots.read(settings.home, settings.definition, LAST, range(2))
    assert Counter(known["event_type"].to_pylist()) == {"view": 1000, "purchase": 300}


def test_an_event_sent_again_is_no_other_event(settings):
    _days(settings, 3, 5)
    _change(
        settings,
        "DROP INDEX IF EXISTS shop.events_event_id_key",
        "INSERT INTO shop.events SELECT (e).* FROM (SELECT (jsonb_populate_record(e, "
        '\'{"ingested_at": "2026-06-30T13:00:00Z", "price": 3}\')) AS e FROM shop.events AS e) x',
    )
    assert "two different events" not in _report(settings)[0]


def test_ids_that_stand_for_nobody_are_counted_however_few_they_are(settings):
    _days(settings, 90, 8)
    marks = ("(not set)", "undefined", "NULL", "[object Object]", "0", "-1", "NaN", " none ",
             "00000000-0000-0000-0000-000000000000")  # fmt: skip
    _change(
        settings,
        *(
            f"UPDATE shop.events SET customer_id = '{mark}', product_id = '{mark}' "
            f"WHERE event_id = 'v{n}/0'"
            for n, mark in enumerate(marks[:5])
        ),
        *(
            f"UPDATE shop.events SET product_id = '{mark}' WHERE event_id = 'v{n}/1'"
            for n, mark in enumerate(marks[5:])
        ),
    )
    report = check_source.check(settings, NOW)
    lines = "\n".join(report.lines)
    assert report.problems == 0, lines
    assert "costs    1 events have the customer_id '(not set)', a placeholder that" in lines
    assert "costs    4 other placeholders of customers or products are in 4 events" in lines


def test_a_real_id_is_no_placeholder(settings):
    _days(settings, 3, 5)
    _change(settings, "UPDATE shop.events SET product_id = 'null island 10'")
    assert "a placeholder that" not in _report(settings)[0]


@pytest.mark.parametrize(("days", "which"), [(0, "All"), (1, "198 of 200")])
def test_a_first_load_of_one_day_is_reported_instead_of_weeks_to_wait(settings, days, which):
    _days(settings, 20, 5)
    _change(
        settings,
        "UPDATE shop.events SET ingested_at = '2026-06-29 03:00Z'",
        f"UPDATE shop.events SET ingested_at = '2026-06-30 03:00Z' WHERE {days} = 1 "
        "AND event_id IN ('v1/0', 'p1/0')",
    )
    report = _report(settings)[0]
    assert f"PROBLEM  {which} events arrived on one day, 2026-06-29, and happened on 2" in report
    assert "CASE WHEN ingested_at < '2026-06-30' THEN occurred_at" in report
    assert "more week" not in report
    with pytest.raises(Refused, match=f"too few days to train.*{which} events arrived on one day"):
        window.run(settings, LAST)


@pytest.mark.parametrize("at", ["-infinity", "0001-01-01 00:00Z", "1970-01-01 00:00Z"])
@pytest.mark.parametrize("zone", ["America/Los_Angeles", "Asia/Tokyo"])
def test_a_clock_that_was_never_set_makes_no_history(settings, at, zone):
    _days(settings, 20, 10)
    _change(settings, f"UPDATE shop.events SET occurred_at = '{at}' WHERE event_id = 'v1/1'")
    settings = settings.model_copy(update={"time_zone": zone})
    assert "customers, 2026-06-10 to 2026-06-30" in _report(settings)[0]
    with pytest.raises(Refused, match="too few days to train"):
        window.run(settings, LAST)


def test_events_of_the_end_of_time_are_named(settings):
    _days(settings, 3, 5)
    _change(
        settings,
        "UPDATE shop.events SET occurred_at = 'infinity' WHERE event_id = 'v1/1'",
        "UPDATE shop.events SET ingested_at = 'infinity' WHERE event_id = 'v1/2'",
        "UPDATE shop.events SET occurred_at = '9999-12-31 23:59Z' WHERE event_id = 'v1/3'",
    )
    assert (
        "PROBLEM  3 events are more than a day in the future, up to 2101-01-01"
        in (_report(settings.model_copy(update={"time_zone": "Asia/Tokyo"}))[0])
    )
