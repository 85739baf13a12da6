"""A small network on a shop where carts predict purchases: start, training and predictions."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from intent_tasks.core.anchors import NEVER
from intent_tasks.core.dataset import Rows
from intent_tasks.core.features import FEATURES
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import BadInput, Refused
from intent_tasks.models import (
    attribution,
    calibration,
    checkpoint,
    encoders,
    ensemble,
    hazards,
    network,
    training,
)
from intent_tasks.models.encoders import ENCODERS
from intent_tasks.models.layers import QuantileRanks
from intent_tasks.models.sizes import SIZES, Size, size_of
from tests.training.shop import (
    MAIN,
    SEED,
    SIZE,
    architecture_of,
    rows_of,
    scores,
    source,
)
from tools.testbed import padded_network

RELEASED = ("mlp", "cnn", "gru", "transformer")
"""Encoders that installations may have in their settings and models."""


def test_a_network_starts_from_its_ensemble_and_stays_there_if_events_predict_nothing(trained):
    rows, later = trained.train, trained.later
    built = network.build(trained.model.architecture)
    parts = (trained.model.network.hazard_head.get_layer(name) for name in ("ranks", "panel"))
    built.start_from_ensemble(ensemble.EnsembleWeights(*(part.get_weights() for part in parts)))
    initial = hazards.probabilities(training.predict_logits(built, later.encoded))
    rates = [(rows.first_purchase <= n).mean() for n in range(len(HORIZONS_DAYS))]
    np.testing.assert_allclose(initial.mean(axis=0), rates, rtol=0.35)
    chance = Rows(rows.encoded, np.random.default_rng(1).permutation(rows.first_purchase))
    plan = training.Plan(len(rows.first_purchase), SEED, learning_rate=1e-2, batch=50)
    training.fit(built, source(chance), source(later), plan)
    final = hazards.probabilities(training.predict_logits(built, later.encoded))
    np.testing.assert_array_equal(final, initial)


def test_distillation_costs_least_at_the_probability_of_the_teacher():
    logits = np.linspace(-4, 1, 41)[:, None] * np.ones(len(HORIZONS_DAYS), np.float32)
    probabilities = hazards.probabilities(logits)[:, MAIN]
    for place in (5, 20, 30):
        teacher = np.full(len(probabilities), probabilities[place], np.float32)
        losses = np.asarray(hazards.distillation_loss(teacher, logits.astype(np.float32)))
        assert losses.argmin() == place


def test_the_network_follows_the_teacher_where_labels_are_random(trained):
    rows = trained.train
    chance = Rows(rows.encoded, np.random.default_rng(1).permutation(rows.first_purchase))
    column = FEATURES.index("days_since_first_log")
    high = np.median(rows.encoded.features[:, column])

    def teacher(features):
        return np.where(features[:, column] > high, 0.4, 0.05)

    network.deterministic(2)  # else the weights depend on the tests that ran before
    built = network.build(trained.model.architecture)
    built.hazard_head.get_layer("ranks").set_weights(
        QuantileRanks.weights_of(rows.encoded.features)
    )
    plan = training.Plan(len(rows.first_purchase), SEED, learning_rate=1e-2, batch=50)
    right = np.random.default_rng(2).random(len(rows.first_purchase)) < teacher(
        rows.encoded.features
    )
    later = Rows(rows.encoded, np.where(right, 0, NEVER).astype(np.int32))
    training.fit(built, source(chance), source(later), plan, teacher=teacher)
    predicted = hazards.probabilities(training.predict_logits(built, rows.encoded))[:, 2]
    taught_high = teacher(rows.encoded.features) > 0.1
    assert predicted[taught_high].mean() > predicted[~taught_high].mean() + 0.1


def test_training_lowers_the_loss(trained):
    assert trained.curve[-1]["loss"] < trained.curve[0]["loss"]


def test_probabilities_rise_with_the_horizon(trained):
    got = scores(trained.model, trained.train)
    assert (np.diff(got, axis=1) >= 0).all()
    assert (got > 0).all()
    assert (got < 1).all()


def test_buyers_get_higher_predictions(trained):
    got = scores(trained.model, trained.later)[:, MAIN]
    bought = trained.later.first_purchase <= MAIN
    assert got[bought].mean() > 2 * got[~bought].mean()


def test_calibration_brings_the_mean_prediction_to_the_purchase_rate(trained):
    shifted = trained.model.network.calibration.get_weights()[1]
    assert np.abs(shifted).max() > 0, "calibration changed nothing"
    got = scores(trained.model, trained.later).mean(axis=0)
    rates = [(trained.later.first_purchase <= n).mean() for n in range(len(HORIZONS_DAYS))]
    np.testing.assert_allclose(got, rates, atol=0.01)


def test_no_customers_give_no_predictions(trained):
    nobody = rows_of(trained.events.slice(0, 0), trained.vocabulary)
    assert scores(trained.model, nobody).shape == (0, len(HORIZONS_DAYS))
    assert attribution.explain(trained.model.network, nobody.encoded).rows.shape == (
        0,
        attribution.MAX_EVENTS,
    )


def test_a_row_has_the_same_prediction_in_any_batch(trained):
    many = training.predict_logits(trained.model.network, trained.train.encoded)
    some = trained.train.encoded.batch(np.array([3]), SIZE.events, SIZE.steps)
    alone = np.asarray(trained.model.network.whole(some))
    assert np.abs(alone - many[3]).max() <= 1e-5


def test_the_network_predicts_as_the_reference_network_on_padded_rows(trained):
    encoded = trained.train.encoded
    architecture = architecture_of(trained.vocabulary)
    built, chosen = network.build(architecture), np.arange(64)
    outputs = built.whole(encoded.batch(chosen, SIZE.events, SIZE.steps))
    peer = padded_network.build(architecture, built)
    np.testing.assert_allclose(
        outputs, peer(padded_network.padded(encoded, chosen, SIZE)), atol=1e-5
    )


def test_every_file_of_the_package_is_an_encoder():
    files = {file.stem for file in Path(encoders.__file__).parent.glob("[!_]*.py")}
    assert set(ENCODERS) == files
    assert set(RELEASED) <= files


@pytest.mark.parametrize("encoder", ENCODERS)
def test_an_encoder_ignores_padding_and_has_the_parameters_it_states(trained, encoder):
    size = Size(16, 8, 32, 2)
    built = network.build(architecture_of(trained.vocabulary, encoder, size))
    chosen = np.flatnonzero(trained.train.encoded.event_count <= 4)[:8]
    short = trained.train.encoded.batch(chosen, 4, 4)
    long = trained.train.encoded.batch(chosen, 16, 8, room=lambda count: count + 5)
    np.testing.assert_allclose(built.whole(short), built.whole(long), atol=1e-5)
    smallest = next(iter(ENCODERS))
    peer = network.build(architecture_of(trained.vocabulary, smallest, size))
    difference = built.whole.count_params() - peer.whole.count_params()
    assert difference == size.encoder_parameters(encoder) - size.encoder_parameters(smallest)


def test_an_unknown_encoder_or_size_is_refused():
    allowed = ", ".join(ENCODERS)
    with pytest.raises(BadInput, match=f"INTENT_MODEL_ENCODER=abacus; allowed: {allowed}"):
        size_of("nano", "abacus")
    with pytest.raises(BadInput, match="INTENT_MODEL_SIZE=huge; allowed: nano"):
        size_of("huge", next(iter(ENCODERS)))
    assert SIZES["xl"].encoder_parameters("gru") > 1e9
    assert SIZES["xl"].encoder_parameters("transformer") > 1e9


def test_a_killed_training_continues_to_the_same_weights(trained, tmp_path):
    """Four parts in two passes; the first try dies in the second pass."""
    rows = rows_of(trained.events.slice(0, 1500), trained.vocabulary)

    def fitted(folder, source_):
        network.deterministic(SEED)
        built = network.build(architecture_of(trained.vocabulary))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(training, "EPOCHS", 2)
            patch.setattr(training, "MIN_STEPS", 1)
            patch.setattr(training, "ROUND_STEPS", 1)
            plan = training.Plan(2 * len(rows.first_purchase), 1, batch=64)
            training.fit(built, source_, source(rows), plan, folder)
        return built.whole.get_weights()

    def dying(epoch, skipped):
        yield from [rows] * (2 - skipped) if epoch == 0 else [rows]
        if epoch == 1:
            raise KeyboardInterrupt

    whole = fitted(None, source(rows, rows))
    with pytest.raises(KeyboardInterrupt):
        fitted(tmp_path, dying)
    assert (tmp_path / checkpoint.FILE).exists()
    gone_on = fitted(tmp_path, source(rows, rows))
    for left, right in zip(whole, gone_on, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_loss_that_is_no_number_ends_training(trained):
    rows = trained.train
    built = network.build(architecture_of(trained.vocabulary))
    broken = rows.encoded.features.copy()
    broken[5] = np.nan
    bad = Rows(replace(rows.encoded, features=broken), rows.first_purchase)
    plan = training.Plan(len(rows.first_purchase), 1)
    with pytest.raises(Refused, match="loss of the network became nan"):
        training.fit(built, source(bad), source(rows), plan)


def test_a_feature_outside_the_training_range_counts_as_its_limit(trained):
    rows = trained.train.encoded.features
    state = np.zeros((1, SIZE.width), np.float32)
    farthest, far = (
        np.asarray(trained.model.network.hazard_head([state, values.astype(np.float32)]))
        for values in (rows.max(axis=0)[None], np.full((1, rows.shape[1]), 1e6))
    )
    near = np.asarray(trained.model.network.hazard_head([state, rows[:1]]))
    np.testing.assert_allclose(farthest, far, rtol=1e-6)
    assert np.abs(far - near).max() > 0


def test_few_customers_change_calibration_little(trained):
    """Calibrate logits that are half as large as they should be, on few and many customers."""
    logits = training.predict_logits(trained.model.network, trained.later.encoded)
    built = network.build(trained.model.architecture)
    scales = []
    for customers in (5, 50_000):
        calibration.fit(built, logits / 2, trained.later.first_purchase, customers)
        scales.append(float(built.calibration.get_weights()[0][0]))
    assert 1 <= scales[0] < 1.3
    assert scales[1] > 1.7
