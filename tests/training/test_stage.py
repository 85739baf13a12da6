"""The stage head is fitted on a trained network and does not change its predictions."""

import keras
import numpy as np
import pytest

from intent_tasks.core.dataset import Rows
from intent_tasks.core.features import FEATURES
from intent_tasks.core.stages import stages
from intent_tasks.definition import HORIZONS_DAYS, STAGES
from intent_tasks.models import attribution, model_io, network, stage_model, training
from intent_tasks.models.ensemble import MEMBERS
from tests.training import shop

READY = STAGES.index("ready")


@pytest.fixture(scope="module")
def fitted():
    """A network that learned nothing, rows with their stages, and the logits before the fit."""
    network.deterministic(shop.SEED)
    rows, vocabulary = shop.rows_and_vocabulary(900)
    labels = stages(rows.encoded.events, rows.encoded.customers, shop.ANCHOR, shop.DEFINITION)
    architecture = shop.architecture_of(vocabulary)
    built = network.build(architecture)
    before = training.predict_logits(built, rows.encoded)
    rows = Rows(rows.encoded, rows.first_purchase, labels)
    stage_model.fit(built, shop.source(rows))
    model = model_io.Model(architecture, vocabulary, built, {}, {})
    return built, rows, before, model


def test_stage_predictions_are_better_than_frequencies(fitted):
    built, rows, _, _ = fitted
    predicted = stage_model.probabilities(built, rows.encoded)
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)
    frequency = np.bincount(rows.stage, minlength=len(STAGES)) / len(rows.stage)
    np.testing.assert_allclose(predicted.mean(axis=0), frequency, atol=0.02)
    log_likelihood = np.log(predicted[np.arange(len(predicted)), rows.stage]).mean()
    assert log_likelihood > np.log(frequency[rows.stage]).mean() + 0.05
    ready = rows.stage == READY
    assert predicted[ready, READY].mean() > 1.5 * predicted[~ready, READY].mean()


def test_the_stage_head_does_not_change_the_logits(fitted):
    built, rows, before, _ = fitted
    assert training.predict_logits(built, rows.encoded).tobytes() == before.tobytes()


def test_the_published_stage_is_the_most_probable_and_is_saved(fitted, tmp_path):
    built, rows, _, model = fitted
    most_probable = stage_model.probabilities(built, rows.encoded).argmax(axis=1)
    assert (attribution.explain(built, rows.encoded).stage == most_probable).mean() > 0.999
    model_io.save(tmp_path, model)
    loaded = model_io.load(tmp_path).network
    assert (
        stage_model.probabilities(loaded, rows.encoded).argmax(axis=1) == most_probable
    ).mean() > 0.999


def test_the_stage_head_reads_features_and_logits_of_the_ensemble(fitted):
    model = fitted[3]
    built = network.build(model.architecture)
    built.hazard_head.get_layer("panel").straight.assign_add(
        np.full((len(FEATURES), MEMBERS * len(HORIZONS_DAYS)), 0.1, np.float32)
    )
    far = np.array([[10.0], [20.0]], np.float32) * np.ones(
        len(FEATURES), np.float32
    )  # beyond all ranks
    head = built.stage_head.get_layer("told").output
    state = np.zeros((2, model.architecture.size.width), np.float32)
    inputs = np.asarray(keras.Model(built.stage_head.inputs, head)([state, far]))
    parts = np.split(inputs, [-len(FEATURES) - len(HORIZONS_DAYS), -len(HORIZONS_DAYS)], axis=1)
    np.testing.assert_array_equal(parts[1], far)
    np.testing.assert_allclose(parts[2], built.ensemble_logits(far), rtol=1e-5)
    assert (parts[2] > 1).all()


@pytest.mark.parametrize("there", [(0,), (1, 3), (0, 1, 2, 3)])
def test_stages_without_rows_have_almost_no_probability(there):
    rng = np.random.default_rng(1)
    stage = rng.choice(there, 300).astype(np.int32)
    inputs = (stage[:, None] == np.arange(len(STAGES))) + rng.normal(size=(300, len(STAGES)))
    slopes, shifts = stage_model.multinomial_regression(inputs.astype(np.float32), stage)
    predicted = np.exp(inputs @ slopes + shifts)
    predicted /= predicted.sum(axis=1, keepdims=True)
    never = sorted(set(range(len(STAGES))) - set(there))
    assert (predicted[:, never] < 1e-6).all()
    np.testing.assert_allclose(
        predicted.mean(axis=0), np.bincount(stage, minlength=len(STAGES)) / 300, atol=0.02
    )


def test_rows_without_stages_leave_the_head_as_it_is(fitted):
    _, rows, _, model = fitted
    fresh = network.build(model.architecture)
    stage_model.fit(fresh, shop.source(Rows(rows.encoded, rows.first_purchase)))
    assert not fresh.stage_head.get_layer("stage").get_weights()[0].any()
