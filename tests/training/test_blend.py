"""The blend of network and trees is no worse than its parts, and has one hazard curve."""

import numpy as np
import pytest

from intent_tasks.core.features import FEATURES
from intent_tasks.core.metrics import log_losses
from intent_tasks.models import baselines, blend, hazards

RNG = np.random.default_rng(3)
COUNT = 1500


def parts(noise):
    """Return predictions of two models and the labels; the first has `noise` times the error."""
    truth = RNG.beta(1, 4, COUNT)
    outcomes = RNG.random(COUNT) < truth
    errors = (RNG.normal(0, 0.7 * more, COUNT) for more in (noise, 1))
    a, b = (np.clip(truth * np.exp(error), 0.01, 0.99) for error in errors)
    return a, b, outcomes


def test_the_fitted_blend_is_better_than_either_part():
    a, b, outcomes = parts(1)
    share = blend.fit(a, b, outcomes, np.arange(COUNT))
    losses = [log_losses(p, outcomes).mean() for p in (blend.blend_log_odds(share, a, b), a, b)]
    assert losses[0] < min(losses[1:])


def test_a_noisy_network_gets_a_small_share():
    a, b, outcomes = parts(4)
    assert blend.fit(a, b, outcomes, np.arange(COUNT)) < 0.2
    assert blend.safest_share(b, a, outcomes, np.arange(COUNT)) < 0.1


def test_with_few_customers_the_prior_weighs_more():
    a, b, outcomes = parts(4)
    rows = 200
    many, few = (
        blend.fit(*(np.repeat(v[:rows], 5) for v in (a, b, outcomes)), customers)
        for customers in (np.arange(5 * rows), np.repeat(np.arange(rows), 5))
    )
    assert many < few < blend.PRIOR_MEAN
    alone = np.zeros(1, int)
    assert blend.fit(a[:1], b[:1], outcomes[:1], alone) == pytest.approx(0.5, abs=0.2)


def test_the_safest_share_grows_with_the_number_of_customers():
    a, b, outcomes = parts(1)
    many, few = (
        blend.safest_share(*(np.repeat(v[:200], 5) for v in (b, a, outcomes)), customers)
        for customers in (np.arange(1000), np.repeat(np.arange(200), 5))
    )
    assert 0 < few < many <= 1


@pytest.fixture(scope="module")
def trees():
    x = RNG.normal(size=(COUNT, len(FEATURES))).astype(np.float32)
    rows = baselines.LabeledFeatures(x, RNG.random(COUNT) < 1 / (1 + np.exp(1 - 2 * x[:, 0])))
    return baselines.boosted_trees(rows, rows, 1, learning_rate=0.3, num_leaves=4)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_the_main_horizon_has_the_blended_probability_and_the_others_its_curve(trees, share):
    logits = RNG.normal(-3, 2, (200, 4)).astype(np.float32)
    features = RNG.normal(size=(200, len(FEATURES))).astype(np.float32)
    blended = blend.Blend(share, trees).probabilities(logits, features)
    alone = hazards.probabilities(logits)
    expected = blend.blend_log_odds(share, alone[:, blend.MAIN_INDEX], trees(features))
    np.testing.assert_allclose(blended[:, blend.MAIN_INDEX], expected, rtol=1e-6)
    assert (np.diff(blended, axis=1) > 0).all()
    if share == 1.0:
        np.testing.assert_allclose(blended, alone, rtol=1e-4)


def test_extreme_logits_are_shifted_too():
    logits = np.array([[-30.0] * 4, [20.0] * 4, [0.0] * 4])
    shifted = hazards.probabilities(blend.shift_to(logits, np.array([0.5, 1e-4, 0.999])))
    np.testing.assert_allclose(shifted[:, blend.MAIN_INDEX], [0.5, 1e-4, 0.999], rtol=1e-6)
