"""The ensemble on hand-made features: what it learns, when it stops, and its held-out folds."""

import numpy as np
import pytest

from intent_tasks.core.anchors import NEVER
from intent_tasks.core.features import FEATURES
from intent_tasks.errors import Refused
from intent_tasks.models import ensemble, hazards, network
from intent_tasks.models.hazards import MAIN_INDEX
from intent_tasks.models.layers import QuantileRanks
from tests.training.shop import SEED

COUNT, WIDE = 3000, len(FEATURES)


def rows_of(likely, seed=0):
    """Return rows whose customers purchase on the first day with probability `likely(features)`."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(COUNT, WIDE)).astype(np.float32)
    features[:, 4:] = 0  # the others predict nothing
    bought = rng.random(COUNT) < likely(features)
    first = np.where(bought, 0, NEVER).astype(np.int32)
    return ensemble.FeatureRows(features, first, np.arange(COUNT))


def built_of(learned):
    ranks, built = QuantileRanks(), ensemble.Ensemble()
    for layer, weights in ((ranks, learned.ranks), (built, learned.members)):
        layer.build((None, WIDE))
        layer.set_weights(weights)
    return ranks, built


def predict(learned, features):
    """Return the probabilities of the ensemble, and of each member, at the main horizon."""
    ranks, built = built_of(learned)
    inputs = ranks(features)
    members = [hazards.probabilities(np.asarray(z))[:, MAIN_INDEX] for z in built.members(inputs)]
    return hazards.probabilities(np.asarray(built(inputs)))[:, MAIN_INDEX], members


def fitted(rows, later):
    network.deterministic(SEED)
    return ensemble.fit(rows, later, SEED)


def test_it_learns_an_interaction_of_features():
    """Purchases where two features are of one sign."""

    def likely(x):
        return np.where(x[:, 0] * x[:, 1] > 0, 0.9, 0.1)

    train, later, test = (rows_of(likely, seed) for seed in range(3))
    chance, _ = predict(fitted(train, later), test.features)
    alike = test.features[:, 0] * test.features[:, 1] > 0
    assert chance[alike].mean() > chance[~alike].mean() + 0.2


def test_without_a_signal_it_predicts_the_base_rate():
    rows = [rows_of(lambda x: np.full(len(x), 0.2), seed) for seed in range(3)]
    chance, _ = predict(fitted(*rows[:2]), rows[2].features)
    assert chance.mean() == pytest.approx(0.2, abs=0.03)
    assert chance.std() < 0.05, "it overfits"


def test_held_out_customers_stop_the_training():
    """Many random features, few customers and one validation row: easy to overfit."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(600, WIDE)).astype(np.float32)
    first = np.where(rng.random(600) < 0.2, 0, NEVER).astype(np.int32)
    rows = ensemble.FeatureRows(features, first, np.arange(600))
    learned = fitted(rows, ensemble.FeatureRows(*(values[:1] for values in rows)))
    chance, _ = predict(learned, rng.normal(size=(2000, WIDE)).astype(np.float32))
    assert chance.mean() == pytest.approx(0.2, abs=0.05)
    assert chance.std() < 0.05, "it overfits the customers"


def test_a_member_does_not_learn_from_its_held_out_customers():
    """The first eighth of the customers, and they alone, purchase where the feature is low."""

    def likely(x):
        early = np.arange(COUNT) < COUNT // ensemble.MEMBERS
        return np.where((x[:, 0] > 0) != early, 0.95, 0.05)

    rows = rows_of(likely)
    rows.features[:, 1] = np.arange(COUNT) < COUNT // ensemble.MEMBERS
    _, members = predict(fitted(rows, rows_of(likely, 1)), rows.features)
    eighth = slice(0, COUNT // ensemble.MEMBERS)
    high = rows.features[eighth, 0] > 0
    leaning = [member[eighth][high].mean() - member[eighth][~high].mean() for member in members]
    assert leaning[0] > 0, "the first member learned from customers that it should not have seen"
    assert max(leaning[1:]) < leaning[0]


def test_before_training_its_logits_are_zero():
    built = ensemble.Ensemble()
    inputs = np.random.default_rng(1).normal(size=(5, WIDE)).astype(np.float32)
    np.testing.assert_array_equal(built(inputs), np.zeros((5, 4), np.float32))


def test_it_is_the_mean_of_its_members_and_reproducible():
    rows, later = (rows_of(lambda x: 0.5 + 0.4 * np.sign(x[:, 0]), seed) for seed in range(2))
    once, twice = (fitted(rows, later) for _ in range(2))
    for left, right in zip(once.members, twice.members, strict=True):
        np.testing.assert_array_equal(left, right)
    ranks, built = built_of(once)
    inputs = ranks(rows.features[:50])
    members = np.asarray(built.members(inputs))
    assert members.shape == (ensemble.MEMBERS, 50, 4)
    assert members.std(axis=0).min() > 0, "members that are alike are one"
    np.testing.assert_allclose(built(inputs), members.mean(axis=0), atol=1e-5)


def test_features_that_are_not_finite_are_refused():
    rows = rows_of(lambda x: np.full(len(x), 0.2))
    rows.features[7, 3] = np.nan
    with pytest.raises(Refused, match="loss of the ensemble became nan"):
        fitted(rows, rows_of(lambda x: np.full(len(x), 0.2), 1))
