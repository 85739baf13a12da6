"""A shop where carts predict purchases, small enough to train on in seconds."""

from datetime import date, timedelta

import numpy as np
import pyarrow as pa

from intent_tasks.core.anchors import first_purchases
from intent_tasks.core.dataset import Rows
from intent_tasks.core.encoding import encode
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.vocabulary import learn_vocabulary, vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from intent_tasks.models import (
    ensemble,
    hazards,
    network,
    training,
)
from intent_tasks.models.sizes import Size
from intent_tasks.stores.snapshots import SCHEMA

ANCHOR = date(2026, 6, 10)
DEFINITION = Definition()
END = DEFINITION.day_end(ANCHOR)
CUSTOMERS, SEED = 2500, 7
FEW = 3
"""An ensemble of the tests is trained on every third row."""
SIZE = Size(16, 8, 16, 1)
MAIN = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)


def simulated(customers=CUSTOMERS) -> pa.Table:
    """Return views of all customers; 30 % also have a recent cart, and 60 % of these purchase."""
    rng, rows = np.random.default_rng(SEED), []
    for n in range(customers):
        has_intent = rng.random() < 0.3
        past = [("view", -d) for d in rng.uniform(0, 20, rng.integers(2, 9))]
        past += [("cart", -rng.uniform(0, 4))] if has_intent else []
        buys = rng.random() < (0.6 if has_intent else 0.05)
        for kind, day in [*past, *([("purchase", rng.uniform(0, 13))] if buys else [])]:
            at = END + timedelta(days=float(day))
            product = f"p{rng.integers(30)}"
            rows.append({"customer_key": f"c{n:05d}", "event_id": f"e{len(rows)}"})
            rows[-1] |= {"event_type": kind, "product_id": product, "price": 10.0}
            rows[-1] |= {"occurred_at": at, "ingested_at": at}
    order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
    return pa.Table.from_pylist(rows, SCHEMA).sort_by(order)


def rows_of(events, vocabulary):
    everything = event_arrays(events, vocabulary, "UTC")
    encoded = encode(everything, DEFINITION, ANCHOR)
    return Rows(encoded, first_purchases(everything, encoded.customers, ANCHOR, DEFINITION))


def rows_and_vocabulary(customers):
    """Return the rows of a shop, and the codes of its values."""
    events = simulated(customers)
    vocabulary = learn_vocabulary([events])
    return rows_of(events, vocabulary), vocabulary


def architecture_of(vocabulary, encoder="gru", size=SIZE):
    return network.Architecture(encoder, size, vocabulary_sizes(vocabulary))


def ensemble_of(rows, later):
    """Return an ensemble trained on a third of the rows, so that events can improve on it."""
    train, validation = [
        ensemble.FeatureRows(
            each.encoded.features, each.first_purchase, each.encoded.customers.astype(np.int64)
        )
        for each in (rows, later)
    ]
    return ensemble.fit(train.every(FEW), validation, SEED)


def source(*parts):
    return lambda epoch, skipped: iter(parts[skipped:])


def scores(model, rows):
    return hazards.probabilities(training.predict_logits(model.network, rows.encoded))
