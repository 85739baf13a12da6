"""The inputs of a small shop are pinned: whoever changes them must raise `REVISION`."""

import hashlib
from datetime import date, timedelta
from itertools import product

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.core import event_arrays as event_arrays_module
from intent_tasks.core import event_counts, product_features
from intent_tasks.core.encoding import encode
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.features import FEATURES
from intent_tasks.core.input_version import REVISION
from intent_tasks.core.vocabulary import learn_vocabulary
from intent_tasks.definition import EVENT_TYPES, Definition
from intent_tasks.stores.snapshots import SCHEMA

DIGESTS = {1: "8bd0d0086d8e73b5"}
"""REVISION → digest of the inputs of the shop below. A new revision replaces the old one."""

CHANGED = (
    "The inputs of a model have other values than before. Raise REVISION in core/input_version.py, "
    "so that models of the old inputs are refused, and pin the new digest here."
)
DIGITS = 3
"""Decimals that are compared: processors differ in the last bits of logarithms and sines."""
DEFINITION = Definition(time_zone="Europe/Stockholm")
ANCHOR = date(2026, 6, 10)
PINNED_TYPES = ("view", "click", "search", "cart", "remove", "purchase", "review", "refund")
"""Types of the events of the shop. A new event type does not change their inputs."""
ALWAYS_ZERO = {"purchase_count_since_purchase_log"}
RARE = {
    "active_day_count_since_purchase_log",
    "view_again_count_on_day_2_log",
    "view_again_count_since_purchase_log",
}
"""Features that are 0 for all customers of the shop."""
COLUMNS = {
    "search": {"query_text": "red acme shoes"},
    "review": {"rating": 2, "review_text": "broke after a week"},
    "cart": {"quantity": 2},
}


def shop():
    """Return events of every type, with and without product, price and session."""
    rng, rows = np.random.default_rng(7), []
    for customer, n in product(range(9), range(60)):
        at = DEFINITION.day_end(ANCHOR) - timedelta(minutes=1 + int(40_000 * rng.random() ** 4))
        event_type = str(rng.choice(PINNED_TYPES))
        number = int(rng.integers(3 + customer))
        row = {"customer_key": f"c{customer}", "event_id": f"e{n:02d}", "event_type": event_type}
        row |= {"occurred_at": at, "ingested_at": at + timedelta(seconds=20)}
        row |= {
            "channel": ("ads", "mail", "direct")[number % 3],
            "device": ("mobile", "desktop")[n % 2],
        }
        if event_type != "search" and number:
            row |= {"product_id": f"p{number}", "category_path": f"shoes.{number // 2}"}
            row |= {"brand": f"b{number}", "title": f"shoe number {number}"}
            row |= {"price": 10.5 * number} if number > 1 else {}
        if customer % 2:
            row["session_id"] = f"{at:%d}-{number // 3}"
        rows.append(row | COLUMNS.get(event_type, {}))
    order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
    return pa.Table.from_pylist(rows, SCHEMA).sort_by(order)


def pinned_features():
    """Return the features that do not belong to a new event type."""
    new_types = set(EVENT_TYPES) - set(PINNED_TYPES)
    return [name for name in FEATURES if not any(each in name for each in new_types)]


def digest():
    """Return a digest of all inputs that `Encoded.batch` returns for the shop."""
    table = shop()
    everything = event_arrays(table, learn_vocabulary([table]), DEFINITION.time_zone)
    encoded = encode(everything, DEFINITION, ANCHOR)
    inputs = encoded.batch(np.arange(len(encoded.customers)), 30, 12)
    inputs["features"] = inputs["features"][:, [FEATURES.index(name) for name in pinned_features()]]
    content = hashlib.sha256()
    for name, values in sorted(inputs.items()):
        rounded = np.round(np.float64(values), DIGITS) + 0.0  # no negative zeros
        content.update(f"{name} {values.shape} {rounded.tolist()}".encode())
    return content.hexdigest()[:16]


def test_other_inputs_need_another_revision():
    assert {REVISION: digest()} == DIGESTS, CHANGED


@pytest.mark.parametrize(
    ("module", "constant", "value"),
    [
        (event_counts, "SESSION_GAP_SECONDS", 60),
        (event_arrays_module, "_PRICE_LOG_SCALE", 7.0),
        (product_features, "RECENT_CART_DAYS", 10),
    ],
)
def test_the_digest_covers_constants_of_the_computation(module, constant, value, monkeypatch):
    before = digest()
    monkeypatch.setattr(module, constant, value)
    assert digest() != before


def test_the_shop_fills_every_feature():
    table = shop()
    everything = event_arrays(table, learn_vocabulary([table]), DEFINITION.time_zone)
    values = encode(everything, DEFINITION, ANCHOR).features
    filled = {name for name, column in zip(FEATURES, values.T, strict=True) if column.any()}
    assert set(pinned_features()) - filled <= ALWAYS_ZERO | RARE
