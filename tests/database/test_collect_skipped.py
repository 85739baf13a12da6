"""Rows that a format takes for no events are counted by their condition, wherever files end."""

from datetime import date

import pytest

from intent_tasks.steps import collect
from tests.database.collecting import collected, events, quarantined
from tests.unit.test_skipped_rows import SHOPIFY, shopify_rows

pytestmark = pytest.mark.database

RULES = "Financial Status is voided or refunded: 4; Cancelled at is given: 2"


def test_cancelled_orders_are_counted_and_not_set_aside(settings, tmp_path):
    (folder := tmp_path / "orders").mkdir()
    cancelled = shopify_rows("#4", "paid", "2026-11-21")
    orders = {"a.csv": [("#1", "paid"), ("#2", "refunded")], "b.csv": [("#3", "voided")]}
    for name, some in orders.items():
        text = "".join(shopify_rows(*order) for order in some)
        (folder / name).write_text(SHOPIFY + text + cancelled * (name == "b.csv"))
    options = {"collect_url": str(folder), "collect_format": "shopify"}
    receipt = collect.run(settings.model_copy(update=options), date(2026, 12, 1))
    assert receipt["rows_skipped"] == {
        "Financial Status is voided or refunded": 4,
        "Cancelled at is given": 2,
    }
    assert (receipt["rows_loaded"], receipt["rows_ignored"], receipt["rows_read"]) == (2, 6, 8)
    assert (events(settings), quarantined(settings)) == (["#1", "#1/1"], [])
    second = collected(settings, folder, "shopify")
    assert (second["known"], second["loaded"]) == (2, 0)


def test_the_last_line_names_the_conditions(settings, tmp_path):
    path = tmp_path / "orders.csv"
    orders = [("#1", "paid"), ("#2", "refunded"), ("#3", "voided"), ("#4", "paid", "2026-11-21")]
    path.write_text(SHOPIFY + "".join(shopify_rows(*order) for order in orders))
    totals = collect.collect(settings, str(path), "shopify", lambda _: None)
    assert f"6 rows are no events ({RULES}), 0 set aside" in totals.summary()
