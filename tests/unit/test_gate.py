"""The gate lets good candidates through and refuses planted bad ones, each by name."""

import numpy as np
import pytest

from intent_tasks.core import gate
from intent_tasks.core.metrics import metrics, resample_weights

COUNT = 4000
RNG = np.random.default_rng(1)
TRUTH = RNG.beta(1, 9, COUNT)
BOUGHT = RNG.random(COUNT) < TRUTH
WEIGHTS = resample_weights(COUNT, 1)
CUSTOMERS = np.arange(COUNT)
NOISY = np.clip(TRUTH * np.exp(RNG.normal(0, 0.5, COUNT)), 0.001, 0.999)


def failed(network, lightgbm=NOISY):
    error = metrics(np.nan_to_num(network), BOUGHT, 0.5, WEIGHTS)["calibration_error"].value
    checks = gate.judge(network, lightgbm, BOUGHT.mean(), BOUGHT, error, WEIGHTS, CUSTOMERS)
    return [check.name for check in checks if not check.passed]


def test_a_good_candidate_passes():
    assert failed(TRUTH) == []


@pytest.mark.parametrize(
    ("candidate", "check"),
    [
        (np.where(CUSTOMERS == 7, np.nan, TRUTH), "finite"),
        (np.full(COUNT, BOUGHT.mean()), "better than the base rate"),
        (RNG.permutation(TRUTH), "better than the base rate"),
        (BOUGHT.mean() * np.exp(RNG.normal(0, 0.02, COUNT)), "better than the base rate"),
        (np.clip(TRUTH + 0.1, 0, 0.99), "calibrated"),
        (np.clip(TRUTH * np.exp(RNG.normal(0, 1.0, COUNT)), 0.001, 0.999), "not worse than"),
    ],
    ids=[
        "not a number",
        "constant",
        "shuffled",
        "hardly better, if at all",
        "uncalibrated",
        "worse than LightGBM",
    ],
)
def test_a_bad_candidate_is_refused(candidate, check):
    assert any(name.startswith(check) for name in failed(candidate, lightgbm=TRUTH))
