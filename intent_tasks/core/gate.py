"""The checks that a model version must pass before a person may promote it."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from intent_tasks.core.metrics import Estimate, log_losses, paired_difference

MOST_CALIBRATION_ERROR = 0.05
"""Largest mean distance between a predicted probability and how often it comes true."""

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Check:
    """One check: what was asked, whether it passed, and the figure it was judged by."""

    name: str
    passed: bool
    said: str


def judge(
    network: Floats,
    lightgbm: Floats,
    base_rate: float,
    outcomes: npt.NDArray[np.bool_],
    calibration_error: float,
    weights: Floats,
    customers: npt.NDArray[np.integer],
) -> list[Check]:
    """Judge predictions of the main horizon on days after training.

    Args:
        network: probabilities of the candidate, shape (n,).
        lightgbm: of boosted trees on the same rows, shape (n,).
        base_rate: share of purchases known before these days.
        outcomes: whether it came true, shape (n,).
        calibration_error: of the candidate.
        weights: from `metrics.resample_weights`.
        customers: row → column of `weights`, shape (n,).
    """
    finite = bool(np.isfinite(network).all() and len(network) > 0)
    if not finite:
        return [Check("finite", False, "a probability is not a number, or there is none")]
    losses = log_losses(network, outcomes)
    constant = log_losses(np.full(len(network), base_rate), outcomes)
    over_base = paired_difference(losses, constant, weights, customers)
    over_trees = paired_difference(losses, log_losses(lightgbm, outcomes), weights, customers)
    return [
        Check("finite", True, "every probability is a number"),
        Check(
            "better than the base rate",
            over_base.low > 0,
            f"log loss lower by {_shown(over_base)}; the interval must be above 0",
        ),
        Check(
            "calibrated",
            calibration_error <= MOST_CALIBRATION_ERROR,
            f"calibration error {calibration_error:.4f}; at most {MOST_CALIBRATION_ERROR}",
        ),
        Check(
            "not worse than LightGBM",
            over_trees.high >= 0,
            f"log loss lower by {_shown(over_trees)}; the interval must not be below 0",
        ),
    ]


def _shown(gain: Estimate) -> str:
    return f"{gain.value:.5f} [{gain.low:.5f}, {gain.high:.5f}]"
