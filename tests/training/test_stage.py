"""The stage is read off a trained network, and changes nothing of what it says of purchases."""

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
def asked():
    """A network that learned nothing, rows with their stages, and the logits before the fit."""
    network.deterministic(shop.SEED)
    rows, vocabulary = shop.rows_and_vocabulary(900)
    found = stages(rows.encoded.events, rows.encoded.customers, shop.ANCHOR, shop.DEFINITION)
    architecture = shop.architecture_of(vocabulary)
    built = network.build(architecture)
    before = training.predict_logits(built, rows.encoded)
    rows = Rows(rows.encoded, rows.first_purchase, found)
    stage_model.fit(built, shop.source(rows))
    model = model_io.Model(architecture, vocabulary, built, {}, {})
    return built, rows, before, model


def test_stages_are_told_better_than_by_how_frequent_they_are(asked):
    built, rows, _, _ = asked
    said = stage_model.probabilities(built, rows.encoded)
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
    frequency = np.bincount(rows.stage, minlength=len(STAGES)) / len(rows.stage)
    np.testing.assert_allclose(said.mean(axis=0), frequency, atol=0.02)
    told = np.log(said[np.arange(len(said)), rows.stage]).mean()
    assert told > np.log(frequency[rows.stage]).mean() + 0.05
    ready = rows.stage == READY
    assert said[ready, READY].mean() > 1.5 * said[~ready, READY].mean()


def test_the_probability_of_a_purchase_stays_as_it_was(asked):
    built, rows, before, _ = asked
    assert training.predict_logits(built, rows.encoded).tobytes() == before.tobytes()


def test_the_stage_that_is_published_is_the_likeliest_and_is_kept(asked, tmp_path):
    built, rows, _, model = asked
    likeliest = stage_model.probabilities(built, rows.encoded).argmax(axis=1)
    assert (attribution.explain(built, rows.encoded).stage == likeliest).mean() > 0.999
    model_io.save(tmp_path, model)
    kept = model_io.load(tmp_path).network
    assert (
        stage_model.probabilities(kept, rows.encoded).argmax(axis=1) == likeliest
    ).mean() > 0.999


def test_it_is_told_of_features_as_they_are_and_of_what_the_ensemble_says(asked):
    model = asked[3]
    built = network.build(model.architecture)
    built.hazard_head.get_layer("panel").straight.assign_add(
        np.full((len(FEATURES), MEMBERS * len(HORIZONS_DAYS)), 0.1, np.float32)
    )
    far = np.array([[10.0], [20.0]], np.float32) * np.ones(
        len(FEATURES), np.float32
    )  # no rank says
    head = built.stage_head.get_layer("told").output
    state = np.zeros((2, model.architecture.size.width), np.float32)
    told = np.asarray(keras.Model(built.stage_head.inputs, head)([state, far]))
    known = np.split(told, [-len(FEATURES) - len(HORIZONS_DAYS), -len(HORIZONS_DAYS)], axis=1)
    np.testing.assert_array_equal(known[1], far)
    np.testing.assert_allclose(known[2], built.ensemble_logits(far), rtol=1e-5)
    assert (known[2] > 1).all()


@pytest.mark.parametrize("there", [(0,), (1, 3), (0, 1, 2, 3)])
def test_stages_that_nobody_was_in_are_as_unlikely_as_can_be(there):
    rng = np.random.default_rng(1)
    found = rng.choice(there, 300).astype(np.int32)
    told = (found[:, None] == np.arange(len(STAGES))) + rng.normal(size=(300, len(STAGES)))
    slopes, shifts = stage_model.multinomial_regression(told.astype(np.float32), found)
    said = np.exp(told @ slopes + shifts)
    said /= said.sum(axis=1, keepdims=True)
    never = sorted(set(range(len(STAGES))) - set(there))
    assert (said[:, never] < 1e-6).all()
    np.testing.assert_allclose(
        said.mean(axis=0), np.bincount(found, minlength=len(STAGES)) / 300, atol=0.02
    )


def test_rows_without_stages_leave_the_head_as_it_is(asked):
    _, rows, _, model = asked
    fresh = network.build(model.architecture)
    stage_model.fit(fresh, shop.source(Rows(rows.encoded, rows.first_purchase)))
    assert not fresh.stage_head.get_layer("stage").get_weights()[0].any()
