"""A small network on a shop where carts tell purchases: trained, kept, loaded, explained."""

from datetime import date, timedelta
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import logit

from intent_tasks.core.anchors import first_purchases
from intent_tasks.core.encoding import (
    STATICS,
    encode,
    event_code,
    history,
    learn_vocabulary,
    vocabulary_sizes,
)
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from intent_tasks.models import files, network, reasons, training
from intent_tasks.stores.snapshots import SCHEMA

ANCHOR = date(2026, 6, 10)
DEFINITION = Definition()
END = DEFINITION.day_end(ANCHOR)
LENGTH, CUSTOMERS, SEED = 12, 2500, 7
MAIN = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)


def simulated() -> pa.Table:
    """Return views of everybody; of 30 % also a cart in the last days, and 60 % of them buy."""
    rng, rows = np.random.default_rng(SEED), []
    for n in range(CUSTOMERS):
        wants = rng.random() < 0.3
        past = [("view", -d) for d in rng.uniform(0, 20, rng.integers(2, 9))]
        past += [("cart", -rng.uniform(0, 4))] if wants else []
        buys = rng.random() < (0.6 if wants else 0.05)
        for kind, day in [*past, *([("purchase", rng.uniform(0, 13))] if buys else [])]:
            at = END + timedelta(days=float(day))
            product = f"p{rng.integers(30)}"
            rows.append({"customer_key": f"c{n:05d}", "event_id": f"e{len(rows)}"})
            rows[-1] |= {"event_type": kind, "product_id": product, "price": 10.0}
            rows[-1] |= {"occurred_at": at, "ingested_at": at}
    order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
    return pa.Table.from_pylist(rows, SCHEMA).sort_by(order)


@pytest.fixture(scope="module")
def trained():
    """A model with all that it was trained from; the first half trains, the second calibrates."""
    network.deterministic(SEED)
    events = simulated()
    vocabulary = learn_vocabulary(events)
    everything = history(events, vocabulary)
    encoded = encode(everything, DEFINITION, ANCHOR, LENGTH)
    first = first_purchases(everything, encoded.customers, ANCHOR, DEFINITION)
    half = CUSTOMERS // 2
    train = {name: values[:half] for name, values in encoded.inputs().items()}
    later = {name: values[half:] for name, values in encoded.inputs().items()}
    means, deviations = train["statics"].mean(axis=0), train["statics"].std(axis=0) + 1e-3
    architecture = network.Architecture(
        LENGTH, 16, vocabulary_sizes(vocabulary), means.tolist(), deviations.tolist()
    )
    built = network.build(architecture)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "BATCH", 50)  # few rows: enough steps only in small batches
        patch.setattr(training, "LEARNING_RATE", 1e-2)
        losses = training.fit(built, train, first[:half], (later, first[half:]), SEED)
    training.calibrate(built, later, first[half:])
    rates = {str(h): float((first <= n).mean()) for n, h in enumerate(HORIZONS_DAYS)}
    model = files.Model(architecture, vocabulary, built, rates, rates)
    return SimpleNamespace(
        model=model, encoded=encoded, everything=everything, events=events, first=first,
        losses=losses, later=later, later_first=first[half:],
    )  # fmt: skip


def scores(model, inputs):
    return network.probabilities(training.logits_of(model.network, inputs))


def test_training_lowers_the_loss(trained):
    assert trained.losses[-1] < trained.losses[0]


def test_probabilities_rise_with_the_horizon(trained):
    got = scores(trained.model, trained.encoded.inputs())
    assert (np.diff(got, axis=1) >= 0).all()
    assert (got > 0).all()
    assert (got < 1).all()


def test_the_network_finds_who_wants_something(trained):
    got = scores(trained.model, trained.later)[:, MAIN]
    bought = trained.later_first <= MAIN
    assert got[bought].mean() > 2 * got[~bought].mean()


def test_calibration_brings_the_mean_to_what_came_true(trained):
    shifted = trained.model.network.calibration.get_weights()[1]
    assert np.abs(shifted).max() > 0, "calibration changed nothing"
    got = scores(trained.model, trained.later).mean(axis=0)
    rates = [(trained.later_first <= n).mean() for n in range(len(HORIZONS_DAYS))]
    np.testing.assert_allclose(got, rates, atol=0.01)


def test_a_kept_model_scores_the_same(trained, tmp_path):
    files.save(tmp_path, trained.model)
    inputs = trained.encoded.inputs()
    expected = scores(trained.model, inputs)
    loaded = [scores(files.load(tmp_path), inputs) for _ in range(2)]
    assert np.abs(loaded[0] - expected).max() <= 1e-6
    assert loaded[0].tobytes() == loaded[1].tobytes()
    kept = files.load(tmp_path)
    assert kept.vocabulary == trained.model.vocabulary
    assert kept.base_rates == trained.model.base_rates


def test_nobody_gets_no_score(trained):
    nobody = {name: values[:0] for name, values in trained.encoded.inputs().items()}
    assert scores(trained.model, nobody).shape == (0, len(HORIZONS_DAYS))
    assert nobody["statics"].shape == (0, len(STATICS))


def test_taking_named_events_away_moves_a_score_more_than_taking_others(trained):
    encoded, everything = trained.encoded, trained.everything
    moved = np.abs(
        reasons.effects(
            trained.model.network,
            everything,
            DEFINITION,
            ANCHOR,
            encoded,
            trained.model.base_rates[str(MAIN_HORIZON_DAYS)],
        )
    )
    several = (encoded.rows >= 0).sum(axis=1) > 3
    named = encoded.rows[np.arange(len(moved)), moved.argmax(axis=1)]
    other = _random_rows(encoded.rows)
    far = _distance(trained, several, everything.without(named))
    near = _distance(trained, several, everything.without(other))
    assert far > 1.5 * near, f"named events move the log-odds by {far:.2f}, random ones {near:.2f}"


def test_carts_raise_a_score(trained):
    encoded = trained.encoded
    base_rate = trained.model.base_rates[str(MAIN_HORIZON_DAYS)]
    moved = reasons.effects(
        trained.model.network, trained.everything, DEFINITION, ANCHOR, encoded, base_rate
    )
    cart = encoded.codes["event_type"] == event_code("cart")
    assert not moved[encoded.rows < 0].any(), "padding is no reason"
    assert (moved[cart] > 0).mean() > 0.9


def _random_rows(rows):
    """Return one event of each customer."""
    rng = np.random.default_rng(SEED)
    return np.array([rng.choice(own[own >= 0]) for own in rows])


def _distance(trained, several, fewer):
    """Return by how much the log-odds move on average when only some events are known."""
    everyone = scores(trained.model, trained.encoded.inputs())[:, MAIN]
    left = encode(fewer, DEFINITION, ANCHOR, LENGTH)
    kept = np.isin(left.customers, trained.encoded.customers[several])
    without = scores(trained.model, left.inputs())[kept, MAIN]
    return np.abs(logit(everyone[several]) - logit(without)).mean()
