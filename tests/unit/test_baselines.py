"""The baselines learn what is there, and say the base rate where nothing is."""

import numpy as np
import pytest

from intent_tasks.core.features import FEATURES, RECENCY_FREQUENCY
from intent_tasks.core.metrics import metrics, resample_weights
from intent_tasks.models import baselines

RNG = np.random.default_rng(3)
COUNT = 1500


def rows(shift=0.0):
    """Return rows in which two features matter together: trees can tell, a line cannot."""
    x = RNG.normal(size=(COUNT, 6)).astype(np.float32)
    log_odds = 2.5 * np.sign(x[:, 0] * x[:, 1]) - 1 + shift
    return baselines.LabeledFeatures(x, RNG.random(COUNT) < 1 / (1 + np.exp(-log_odds)))


TRAIN, LATER, TEST = rows(), rows(1.0), rows(1.0)
FAST = {"learning_rate": 0.2, "min_data_in_leaf": 20, "feature_fraction": 1.0}


def auc(predict):
    weights = resample_weights(COUNT, 1, 2)
    return metrics(predict(TEST.features), TEST.outcomes, 0.5, weights)["auc"].value


@pytest.fixture(scope="module")
def trees():
    return baselines.boosted_trees(TRAIN, LATER, 1, **FAST)


def test_trees_find_what_two_features_say_together_and_a_line_does_not(trees):
    assert auc(trees) > 0.8
    assert auc(baselines.logistic(TRAIN)) < 0.6


def test_trees_are_centred_on_the_later_days(trees):
    assert trees(TEST.features).mean() == pytest.approx(TEST.outcomes.mean(), abs=0.03)
    assert TRAIN.outcomes.mean() < TEST.outcomes.mean() - 0.05


def test_the_same_seed_gives_the_same_predictions(trees):
    second = baselines.boosted_trees(TRAIN, LATER, 1, **FAST)
    np.testing.assert_array_equal(second(TEST.features), trees(TEST.features))


@pytest.mark.parametrize("outcome", [True, False])
def test_equal_predictions_for_all_are_reported(outcome):
    same = baselines.LabeledFeatures(TRAIN.features, np.full(COUNT, outcome))
    for predict in (baselines.logistic(same), baselines.boosted_trees(same, LATER, 1)):
        assert predict(TEST.features).tolist() == [float(outcome)] * COUNT


def test_recency_and_frequency_are_the_columns_of_these_names():
    x = np.arange(len(FEATURES), dtype=np.float32)[None]
    names = [FEATURES[int(n)] for n in baselines.recency_frequency(x)[0]]
    assert names == list(RECENCY_FREQUENCY)
