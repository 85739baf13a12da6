"""The rules of a training set: clean windows keep the shipped thresholds, broken ones do not."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from expectations import thresholds
from expectations.dataset_profile import RULES
from intent_tasks.core.anchors import split_days
from intent_tasks.core.dataset import Dataset, Rows
from intent_tasks.core.dataset_profile import DatasetProfile
from intent_tasks.definition import LEAST_BUYERS, Definition
from intent_tasks.simulator import Config
from intent_tasks.stores.contracts import contract, profile
from tools.testbed.shops import simulated

SHOP = Config(customers=400, days=84, products=300)
FIRST, LAST = SHOP.first_day + timedelta(days=14), SHOP.last_day - timedelta(days=15)
SPLIT = vars(split_days(FIRST, LAST))
LIMITS = thresholds.parse(thresholds.SHIPPED)["training_set"]
LATER = pa.scalar(Definition().day_end(SPLIT["train"][-1] + timedelta(days=14)))
"""From here on, nothing is seen on the days to train, nor in what came true of them."""


@pytest.fixture(scope="module")
def events():
    return simulated(SHOP)


def _slices(events):
    slices = Dataset(lambda _: events, 1, SPLIT, Definition(), 7)
    slices.learn_vocabulary()
    return slices


def _looked_at(events):
    slices = _slices(events)
    found = DatasetProfile({name: len(days) for name, days in SPLIT.items()})
    slices.summarize(lambda part, rows: found.add(part, rows, slices.vocabulary))
    return found


def _broken(found):
    of = profile.profile_training_set(found, LIMITS)
    return {name for name, bound in of.bounds.items() if not bound.allows(of.numbers[name])}


def _set(events, name, values, where):
    changed = pc.if_else(where, values, events[name])
    return events.set_column(events.column_names.index(name), events.schema.field(name), changed)


def test_a_clean_window_keeps_all_rules_and_all_have_bounds(events):
    found = _looked_at(events)
    assert _broken(found) == set()
    assert set(profile.profile_training_set(found, LIMITS).numbers) == set(LIMITS.rules)
    assert {rule.name for rule in RULES} == set(LIMITS.rules)


def _later(events):
    return pc.greater_equal(events["occurred_at"], LATER)


def _purchases_lost(events):
    bought = pc.equal(events["event_type"], "purchase")
    return events.filter(pc.invert(pc.and_(bought, _later(events))))


def _ids_changed(events):
    named = pc.binary_join_element_wise("sku-", events["product_id"], "")
    return _set(events, "product_id", named, _later(events))


def _channel_lost(events):
    return _set(events, "channel", pa.scalar(None, pa.string()), _later(events))


def _most_customers_lost(events):
    few = pc.is_in(events["customer_key"], pc.unique(events["customer_key"])[:25])
    return events.filter(pc.or_(few, pc.invert(_later(events))))


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        (_purchases_lost, {"test_base_rate", "test_base_rate_change", "test_buyers"}),
        (_ids_changed, {"test_known_product_id"}),
        (_channel_lost, {"test_known_channel"}),
        (_most_customers_lost, {"calibrate_buyers", "test_base_rate_change"}),
        (lambda events: events.slice(0, 0), {"train_rows", "train_buyers", "test_others"}),
    ],
)
def test_a_broken_window_is_noticed_by_name(events, change, rules):
    assert rules <= _broken(_looked_at(change(events)))


def test_a_feature_that_is_no_number_is_noticed(events):
    found, slices = _looked_at(events), _slices(events)

    def broken(part, rows):
        features = rows.encoded.features.copy()
        features[3, 5], features[4, 6] = np.nan, np.inf
        encoded = replace(rows.encoded, features=features)
        if part == "train":
            found.add(part, Rows(encoded, rows.first_purchase), slices.vocabulary)

    slices.summarize(broken)
    assert found.splits["train"].not_finite == 2
    assert {"features_not_finite", "features_largest"} <= _broken(found)


def test_the_usable_days_are_described_in_one_way():
    needed = {LIMITS.rules[f"{part}_{who}"].low for part in SPLIT for who in ("buyers", "others")}
    assert needed == {LEAST_BUYERS}


def test_a_broken_rule_gives_advice(events):
    of = profile.profile_training_set(_looked_at(_purchases_lost(events)), LIMITS)
    text = contract.Result(of, [], "").describe(["test_buyers"])
    assert text.startswith("training_set.test_buyers (of these, who purchase within 14 days) is 0")
    assert text.endswith("allowed at least 30: train later, or raise INTENT_TRAINING_DAYS")
