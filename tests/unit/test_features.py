"""Hand-made features: of the past alone, of oneself alone, and what their names say."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.features import FEATURES, RECENCY_FREQUENCY, features
from intent_tasks.core.vocabulary import learn_vocabulary
from intent_tasks.stores.snapshots import SCHEMA

END = datetime(2026, 6, 11, tzinfo=UTC)
SECOND = int(END.timestamp())


def event(hours_before, event_type="view", customer="a", **columns):
    at = END - timedelta(hours=hours_before)
    named = {"customer_key": customer, "event_id": f"{hours_before}", "event_type": event_type}
    return named | {"occurred_at": at, "ingested_at": at} | columns


def known(rows):
    order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
    table = pa.Table.from_pylist(rows, SCHEMA).sort_by(order)
    return event_arrays(table, learn_vocabulary([table]), "UTC")


def computed(rows, customer=0, end=SECOND):
    past = known(rows)
    values = features(past, np.unique(past.customer), end)
    return dict(zip(FEATURES, values[customer].tolist(), strict=True))


RICH = [
    event(240, product_id="p", price=10.0),
    event(239.9, "purchase", product_id="p", price=10.0),
    event(50, "search", query_text="red acme shoes"),
    event(49.9, "search", query_text="shoes"),
    event(49.8, product_id="q", price=30.0, channel="ads", device="mobile"),
    event(49.7, product_id="q", price=30.0, channel="ads", device="mobile"),
    event(3, "cart", product_id="q", price=30.0, channel="ads", device="mobile"),
]


def test_names_are_unique_and_parts_of_the_whole():
    assert len(set(FEATURES)) == len(FEATURES)
    assert set(FEATURES) <= set(FEATURES)
    assert set(RECENCY_FREQUENCY) <= set(FEATURES)


def test_counts_and_recencies_are_what_their_names_say():
    got = computed(RICH)
    assert np.expm1(got["view_count_log"]) == pytest.approx(3)
    assert np.expm1(got["view_count_3d_log"]) == pytest.approx(2)
    assert np.expm1(got["view_again_count_log"]) == pytest.approx(1)
    assert np.expm1(got["search_count_3d_log"]) == pytest.approx(2)
    assert np.expm1(got["search_specific_count_log"]) == pytest.approx(1)
    assert np.expm1(got["cart_count_1d_log"]) == pytest.approx(1)
    assert np.expm1(got["active_day_count_log"]) == pytest.approx(3)
    assert np.expm1(got["session_count_log"]) == pytest.approx(3)
    assert np.expm1(got["days_since_cart_log"]) == pytest.approx(3 / 24, abs=1e-4)
    assert np.expm1(got["days_since_refund_log"]) == pytest.approx(400, rel=1e-4)
    assert np.expm1(got["view_count_since_purchase_log"]) == pytest.approx(2)
    assert np.expm1(got["search_count_on_day_1_log"]) == pytest.approx(2)
    assert got["cart_decayed_1d"] == pytest.approx(0.5 ** (3 / 24), abs=1e-4)


def test_a_cart_is_open_until_its_product_is_bought_or_removed():
    got = computed(RICH)
    assert np.expm1(got["open_cart_count_log"]) == pytest.approx(1)
    assert np.expm1(got["open_cart_price_log"]) == pytest.approx(30, rel=1e-4)
    for ends in ("purchase", "remove"):
        closed = computed([*RICH, event(1, ends, product_id="q")])
        assert closed["open_cart_count_log"] == 0
        other = computed([*RICH, event(1, ends, product_id="p")])
        assert other["open_cart_count_log"] > 0


def test_looks_prices_and_the_last_visit():
    got = computed(RICH)
    assert np.expm1(got["most_looks_log"]) == pytest.approx(2)
    assert np.expm1(got["product_count_log"]) == pytest.approx(2)
    assert got["last_product_carted"] == 1
    assert got["last_product_bought"] == 0
    assert np.expm1(got["price_last_log"]) == pytest.approx(30, rel=1e-4)
    assert np.expm1(got["spent_log"]) == pytest.approx(10, rel=1e-4)
    assert got["price_last_to_mean_log"] > 0


def test_gaps_are_between_days_with_events():
    got = computed([event(24 * d) for d in (9, 5, 3)])
    assert np.expm1(got["active_day_gap_mean_log"]) == pytest.approx(3, rel=1e-4)
    assert np.expm1(got["active_day_gap_last_log"]) == pytest.approx(2, rel=1e-4)
    assert np.expm1(got["active_day_gap_deviation_log"]) == pytest.approx(1, rel=1e-4)
    assert got["active_day_overdue_log"] == pytest.approx(0, abs=1e-4), "3 days after gaps of 3"


def test_a_shop_that_records_types_and_times_only_is_enough():
    got = computed([event(30), event(2, "cart"), event(1, "purchase")])
    assert np.isfinite(list(got.values())).all()
    assert got["product_count_log"] == 0
    assert np.expm1(got["purchase_count_1d_log"]) == pytest.approx(1)


def test_a_customer_is_predicted_the_same_alone_and_with_others():
    others = [event(h, kind, f"c{n}", product_id="q", price=9.0) for n in range(5)
              for h, kind in ((30, "view"), (7, "cart"))]  # fmt: skip
    assert computed(RICH) == computed([*RICH, *others])


def test_each_customer_can_have_an_anchor_of_their_own():
    rows = [*RICH, event(10, "view", "b")]
    past = known(rows)
    both = features(past, np.array([0, 1]), np.array([SECOND, SECOND + 86_400]))
    alone = features(past, np.array([1]), SECOND + 86_400)
    np.testing.assert_array_equal(both[1], alone[0])
    np.testing.assert_array_equal(both[0], features(past, np.array([0]), SECOND)[0])


def test_nobody_has_features_of_nothing():
    assert features(known(RICH), np.array([], int), SECOND).shape == (0, len(FEATURES))
