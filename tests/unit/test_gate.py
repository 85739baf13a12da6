"""The gate lets good candidates through and refuses planted bad ones, each by name."""

import numpy as np
import pytest
from scipy.special import expit, logit

from intent_tasks.core import gate
from intent_tasks.core.metrics import metrics, resample_weights

COUNT = 6000
RNG = np.random.default_rng(1)
TRUTH = RNG.beta(1, 9, COUNT)
BOUGHT = RNG.random(COUNT) < TRUTH
WEIGHTS = resample_weights(COUNT, 1)
CUSTOMERS = np.arange(COUNT)
CHANNEL = np.array(["ads", "direct", "direct", "mail", "mail", "social"])[CUSTOMERS % 6]


def blurred(spread):
    return np.clip(TRUTH * np.exp(RNG.normal(0, spread, COUNT)), 0.001, 0.999)


BASELINES = {"logistic": blurred(0.6), "lightgbm": blurred(0.4)}


def failed(network, outcomes=BOUGHT, **baselines):
    error = metrics(np.nan_to_num(network), outcomes, 0.5, WEIGHTS)["calibration_error"].value
    slices = {"channel": CHANNEL}
    tested = gate.TestSet(
        outcomes, BASELINES | baselines, outcomes.mean(), WEIGHTS, CUSTOMERS, slices
    )
    return [check.name for check in gate.judge(network, tested, error) if not check.passed]


@pytest.mark.parametrize("spread", [0, 0.1, 0.3, 0.4])
def test_a_good_candidate_passes(spread):
    assert failed(blurred(spread)) == []


def test_one_that_predicts_the_same_as_the_best_baseline_passes():
    assert failed(BASELINES["lightgbm"]) == []


def test_numbers_that_were_rounded_on_another_way_are_not_worse():
    wrong_way = np.where(BOUGHT, -1e-7, 1e-7)
    assert failed(BASELINES["lightgbm"] * (1 + wrong_way)) == []


@pytest.mark.parametrize(
    ("candidate", "check"),
    [
        (np.where(CUSTOMERS == 7, np.nan, TRUTH), "finite"),
        (np.where(CUSTOMERS == 7, 1.2, TRUTH), "finite"),
        (np.full(COUNT, BOUGHT.mean()), "better than the base rate"),
        (RNG.permutation(TRUTH), "better than the base rate"),
        (BOUGHT.mean() * np.exp(RNG.normal(0, 0.02, COUNT)), "better than the base rate"),
        (np.clip(TRUTH + 0.1, 0, 0.99), "calibrated"),
        (expit(logit(TRUTH) * 3 + 3), "calibrated"),
        (blurred(1.0), "not worse than LightGBM"),
        (np.where(BOUGHT, 0.9, 0.01), "not too good to be true"),
        (np.clip(TRUTH + 0.5 * BOUGHT, 0.001, 0.999), "not too good to be true"),
    ],
    ids=[
        "not a number",
        "above 1",
        "constant",
        "shuffled labels",
        "hardly better, if at all",
        "shifted",
        "overconfident",
        "worse than LightGBM",
        "leak",
        "leak into a good one",
    ],
)
def test_a_bad_candidate_is_refused(candidate, check):
    assert check in failed(candidate, lightgbm=TRUTH)


def test_no_predictions_are_refused():
    tested = gate.TestSet(BOUGHT[:0], {}, 0.1, WEIGHTS, CUSTOMERS[:0])
    assert [check.passed for check in gate.judge(TRUTH[:0], tested, 0.0)] == [False]


def test_one_that_is_worse_than_the_logistic_regression_only_is_refused():
    worse = blurred(0.9)
    assert "not worse than logistic regression" in failed(worse, logistic=TRUTH, lightgbm=worse)


def test_one_that_pays_for_the_whole_with_a_part_is_refused():
    social = CHANNEL == "social"
    hurt = np.where(social, np.roll(TRUTH, 6), TRUTH)
    names = failed(hurt, lightgbm=np.where(social, TRUTH, blurred(0.8)), logistic=blurred(0.7))
    assert names == ["no worse slice by channel"]


def test_the_same_distance_is_worse_where_few_purchase():
    few = RNG.random(COUNT) < TRUTH / 10
    assert "calibrated" in failed(np.clip(TRUTH / 10 + 0.02, 0, 1), outcomes=few)


def test_a_slice_of_a_few_is_not_judged():
    slices = {"channel": np.where(CUSTOMERS < 40, "new", "old")}
    hurt = np.where(CUSTOMERS < 40, 0.6, TRUTH)
    tested = gate.TestSet(BOUGHT, BASELINES, BOUGHT.mean(), WEIGHTS, CUSTOMERS, slices)
    checks = {check.name: check for check in gate.judge(hurt, tested, 0.0)}
    assert checks["no worse slice by channel"].passed
    assert "none of 1 slices" in checks["no worse slice by channel"].detail
