"""The ensemble on hand-made features: what it learns, when it stops, and who learns of whom."""

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


def told(likely, seed=0):
    """Return rows of as many customers, who purchase on the first day where it is likely."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(COUNT, WIDE)).astype(np.float32)
    features[:, 4:] = 0  # the others tell nothing
    bought = rng.random(COUNT) < likely(features)
    first = np.where(bought, 0, NEVER).astype(np.int32)
    return ensemble.FeatureRows(features, first, np.arange(COUNT))


def built_of(learned):
    ranks, built = QuantileRanks(), ensemble.Ensemble()
    for layer, weights in ((ranks, learned.ranks), (built, learned.members)):
        layer.build((None, WIDE))
        layer.set_weights(weights)
    return ranks, built


def said(learned, features):
    """Return the probabilities of the ensemble, and of each member, at the main horizon."""
    ranks, built = built_of(learned)
    known = ranks(features)
    members = [hazards.probabilities(np.asarray(z))[:, MAIN_INDEX] for z in built.members(known)]
    return hazards.probabilities(np.asarray(built(known)))[:, MAIN_INDEX], members


def fitted(rows, later):
    network.deterministic(SEED)
    return ensemble.fit(rows, later, SEED)


def test_it_learns_what_no_sum_of_features_tells():
    """Purchases where two features are of one sign."""

    def likely(x):
        return np.where(x[:, 0] * x[:, 1] > 0, 0.9, 0.1)

    train, later, asked = (told(likely, seed) for seed in range(3))
    chance, _ = said(fitted(train, later), asked.features)
    alike = asked.features[:, 0] * asked.features[:, 1] > 0
    assert chance[alike].mean() > chance[~alike].mean() + 0.2


def test_where_nothing_can_be_learned_it_says_how_many_purchase():
    rows = [told(lambda x: np.full(len(x), 0.2), seed) for seed in range(3)]
    chance, _ = said(fitted(*rows[:2]), rows[2].features)
    assert chance.mean() == pytest.approx(0.2, abs=0.03)
    assert chance.std() < 0.05, "it has learned chance by heart"


def test_customers_that_members_have_not_seen_tell_when_to_stop():
    """Many features that tell nothing, few customers, hardly a later one: easily known by heart."""
    rng = np.random.default_rng(1)
    features = rng.normal(size=(600, WIDE)).astype(np.float32)
    first = np.where(rng.random(600) < 0.2, 0, NEVER).astype(np.int32)
    rows = ensemble.FeatureRows(features, first, np.arange(600))
    learned = fitted(rows, ensemble.FeatureRows(*(values[:1] for values in rows)))
    chance, _ = said(learned, rng.normal(size=(2000, WIDE)).astype(np.float32))
    assert chance.mean() == pytest.approx(0.2, abs=0.05)
    assert chance.std() < 0.05, "it has learned the customers by heart"


def test_a_member_learns_nothing_of_the_customers_it_leaves_out():
    """The first eighth of the customers, and they alone, purchase where the feature is low."""

    def likely(x):
        early = np.arange(COUNT) < COUNT // ensemble.MEMBERS
        return np.where((x[:, 0] > 0) != early, 0.95, 0.05)

    rows = told(likely)
    rows.features[:, 1] = np.arange(COUNT) < COUNT // ensemble.MEMBERS
    _, members = said(fitted(rows, told(likely, 1)), rows.features)
    eighth = slice(0, COUNT // ensemble.MEMBERS)
    high = rows.features[eighth, 0] > 0
    leaning = [member[eighth][high].mean() - member[eighth][~high].mean() for member in members]
    assert leaning[0] > 0, "the first member knows customers that it should not have seen"
    assert max(leaning[1:]) < leaning[0]


def test_before_it_has_learned_it_says_nothing():
    built = ensemble.Ensemble()
    known = np.random.default_rng(1).normal(size=(5, WIDE)).astype(np.float32)
    np.testing.assert_array_equal(built(known), np.zeros((5, 4), np.float32))


def test_it_is_the_mean_of_its_members_and_the_same_twice():
    rows, later = (told(lambda x: 0.5 + 0.4 * np.sign(x[:, 0]), seed) for seed in range(2))
    once, twice = (fitted(rows, later) for _ in range(2))
    for left, right in zip(once.members, twice.members, strict=True):
        np.testing.assert_array_equal(left, right)
    ranks, built = built_of(once)
    known = ranks(rows.features[:50])
    members = np.asarray(built.members(known))
    assert members.shape == (ensemble.MEMBERS, 50, 4)
    assert members.std(axis=0).min() > 0, "members that are alike are one"
    np.testing.assert_allclose(built(known), members.mean(axis=0), atol=1e-5)


def test_features_that_are_no_number_are_refused():
    rows = told(lambda x: np.full(len(x), 0.2))
    rows.features[7, 3] = np.nan
    with pytest.raises(Refused, match="loss on hand-made features became nan"):
        fitted(rows, told(lambda x: np.full(len(x), 0.2), 1))
