"""What an event does to the features is what it does when everything is computed without it."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.core import ablation
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.event_counts import CustomerEvents
from intent_tasks.core.features import FEATURES, FeatureGradients, features
from intent_tasks.core.vocabulary import learn_vocabulary
from intent_tasks.definition import EVENT_TYPES
from intent_tasks.stores.snapshots import SCHEMA

END = datetime(2026, 6, 11, tzinfo=UTC)
SECOND = int(END.timestamp())
ORDER = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
OFTEN = {"view": 40, "click": 5, "search": 10, "cart": 20, "purchase": 15, "remove": 5, "review": 3}
RARE = 2
"""How often each event type occurs, relative to the others; RARE for the rest."""
KEPT = ("view_again", "session", "active_day", "_per_session", "open_cart_price")
"""Parts of the names of features of which small parts are left as they are: a session that starts
later, a view that would look again then, the dearest price of a product in the cart."""


def event(rng, customer, hours_before, kind):
    at = END - timedelta(hours=hours_before)
    row = {"customer_key": customer, "event_id": f"{hours_before:09.3f}", "event_type": kind}
    row |= {"occurred_at": at, "ingested_at": at, "channel": str(rng.choice(["ads", "mail"]))}
    if kind == "search":
        return row | {"query_text": "red acme shoes"}
    product = int(rng.integers(8))
    more = {"product_id": f"p{product}", "category_path": f"c{product // 2}"}
    more |= {"price": float(rng.integers(1, 50))}
    return row | more | ({"rating": int(rng.integers(1, 6))} if kind == "review" else {})


def shop(seed, customers=5):
    rng = np.random.default_rng(seed)
    often = np.array([OFTEN.get(kind, RARE) for kind in EVENT_TYPES])
    for customer in range(customers):
        for day in rng.choice(40, rng.integers(2, 7), replace=False):
            hour = day * 24 + rng.integers(2, 20)
            for minutes in np.sort(rng.choice(50, rng.integers(1, 5), replace=False)):
                kind = str(rng.choice(EVENT_TYPES, p=often / often.sum()))
                yield event(rng, f"c{customer}", hour + minutes / 60, kind)


@pytest.fixture(scope="module", params=[1, 2])
def lost(request):
    """Return the loss of each feature without each event, recomputed and in closed form."""
    table = pa.Table.from_pylist(list(shop(request.param)), SCHEMA).sort_by(ORDER)
    known = event_arrays(table, learn_vocabulary([table]), "UTC")
    customers = np.unique(known.customer)
    whole = features(known, customers, SECOND).astype(np.float64)
    anew = [
        (whole - features(known.drop_rows(row[None]), customers, SECOND))[customer]
        for row, customer in zip(known.row, known.customer, strict=True)
    ]
    past, one = CustomerEvents.of(known, customers, SECOND), np.eye(len(FEATURES))
    closed_form = [
        ablation.event_effects(
            past, FeatureGradients(np.broadcast_to(each, (len(customers), len(each))))
        )
        for each in one
    ]
    return np.array(anew), np.array(closed_form).T


def test_features_lose_what_they_lose_when_computed_without_an_event(lost):
    anew, closed_form = lost
    exact = [n for n, name in enumerate(FEATURES) if not any(part in name for part in KEPT)]
    wrong = {FEATURES[n] for n in exact if np.abs(anew - closed_form)[:, n].max() > 1e-4}
    assert not wrong
    assert (np.abs(anew[:, exact]).max(axis=0) > 0).mean() > 0.6, "most features lose something"


def test_little_is_left_as_it_is(lost):
    anew, closed_form = lost
    changed = np.abs(anew) > 1e-6
    assert (np.abs(anew - closed_form)[changed] < 1e-2).mean() > 0.9


def test_nobody_loses_nothing():
    known = event_arrays(pa.Table.from_pylist([], SCHEMA), learn_vocabulary([]), "UTC")
    past = CustomerEvents.of(known, np.zeros(0, int), SECOND)
    assert ablation.event_effects(past, FeatureGradients(np.zeros((0, len(FEATURES))))).shape == (
        0,
    )
