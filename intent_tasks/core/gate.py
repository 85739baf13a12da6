"""The checks that a model version must pass before a person may promote it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.arrays import BoolArray, FloatArray, IntegerArray
from intent_tasks.core.metrics import Estimate, log_losses, paired_difference
from intent_tasks.definition import LEAST_BUYERS

MAX_CALIBRATION_ERROR = 0.05
"""Maximum mean distance between predicted probability and observed frequency."""
MAX_RELATIVE_CALIBRATION_ERROR = 0.5
"""The same limit as a share of the base rate, for shops where few customers purchase."""
MIN_CALIBRATION_LIMIT = 0.01
"""The limit is never lower than this: such an error is noise of the test days."""
MIN_RELATIVE_LOSS = 0.5
"""Minimum log loss as a share of the best baseline's: below it the labels must have leaked.
All models read the same events, so none can halve the loss of the others."""
SLICE_WIDTH = 1.5
"""A slice is worse if its loss is, by this many half intervals: one slice in ten is by chance."""

ROUNDING = 1e-6
"""Two log losses that differ by less, in nats, are equal: rounding must not fail a version that
predicts the same as the trees."""

NAMES = {
    "recency_frequency": "recency-frequency logistic regression",
    "logistic": "logistic regression",
    "lightgbm": "LightGBM",
}
"""Baselines that a candidate must not be worse than, with their names for people."""


@dataclass(frozen=True)
class Check:
    """One check: its name, its verdict, and the value behind it."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class TestSet:
    """The test split: n rows at the main horizon.

    Args:
        outcomes: label of each row, shape (n,).
        baselines: name → probabilities, shape (n,).
        base_rate: share of purchases before the test days.
        weights: from `metrics.resample_weights`.
        customers: row → column of `weights`, shape (n,).
        slices: name of a cohort column → cohort of each row, shape (n,).
    """

    outcomes: BoolArray
    baselines: Mapping[str, FloatArray]
    base_rate: float
    weights: FloatArray
    customers: IntegerArray
    slices: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def gain(
        self, losses: FloatArray, other: FloatArray, chosen: BoolArray | None = None
    ) -> Estimate:
        """Return by how much `losses` are lower than `other`, over the chosen rows."""
        rows = slice(None) if chosen is None else chosen
        return paired_difference(losses[rows], other[rows], self.weights, self.customers[rows])


def judge(served: FloatArray, test_set: TestSet, calibration_error: float) -> list[Check]:
    """Judge the probabilities of a candidate, shape (n,), and their calibration error."""
    valid = len(served) > 0 and bool(np.isfinite(served).all())
    if not valid or served.min() < 0 or served.max() > 1:
        detail = "a probability is not a number from 0 to 1, or there is none"
        return [Check("finite", False, detail)]
    losses = log_losses(served, test_set.outcomes)
    constant = log_losses(np.full(len(served), test_set.base_rate), test_set.outcomes)
    others = {name: log_losses(p, test_set.outcomes) for name, p in test_set.baselines.items()}
    over_base = test_set.gain(losses, constant)
    return [
        Check("finite", True, "every probability is a number"),
        Check(
            "better than the base rate",
            over_base.low > 0,
            f"log loss lower by {_interval(over_base)}; the interval must be above 0",
        ),
        _calibrated(calibration_error, test_set.base_rate),
        *_not_worse(losses, others, test_set),
        _not_too_good(losses, others, constant),
        *_slices(losses, others, test_set),
    ]


def _calibrated(error: float, base_rate: float) -> Check:
    relative = max(MAX_RELATIVE_CALIBRATION_ERROR * base_rate, MIN_CALIBRATION_LIMIT)
    most = min(MAX_CALIBRATION_ERROR, relative)
    detail = f"calibration error {error:.4f}; at most {most:.4f} where {base_rate:.1%} purchase"
    return Check("calibrated", bool(error <= most), detail)


def _not_worse(
    losses: FloatArray, others: Mapping[str, FloatArray], test_set: TestSet
) -> Iterator[Check]:
    for name, other in others.items():
        gain = test_set.gain(losses, other)
        detail = f"log loss lower by {_interval(gain)}; the interval must not be below 0"
        yield Check(f"not worse than {NAMES[name]}", gain.high >= -ROUNDING, detail)


def _not_too_good(
    losses: FloatArray, others: Mapping[str, FloatArray], constant: FloatArray
) -> Check:
    best = min(float(other.mean()) for other in [*others.values(), constant])
    share = float(losses.mean()) / best
    detail = (
        f"log loss {share:.2f} of the best baseline's; below {MIN_RELATIVE_LOSS} the labels must "
        "have leaked"
    )
    return Check("not too good to be true", share >= MIN_RELATIVE_LOSS, detail)


def _slices(
    losses: FloatArray, others: Mapping[str, FloatArray], test_set: TestSet
) -> Iterator[Check]:
    """Yield one check for each cohort column: no cohort may be worse than the trees."""
    if "lightgbm" not in others:
        return
    for name, values in test_set.slices.items():
        worse, compared = [], 0
        for value in np.unique(values):
            chosen = values == value
            buyers = int(test_set.outcomes[chosen].sum())
            if min(buyers, int(chosen.sum()) - buyers) < LEAST_BUYERS:
                continue
            compared += 1
            gain = test_set.gain(losses, others["lightgbm"], chosen)
            if gain.value + SLICE_WIDTH * (gain.high - gain.value) < -ROUNDING:
                worse.append(f"{value}: {_interval(gain)}")
        detail = f"worse than LightGBM in {'; '.join(worse) or 'none'} of {compared} slices"
        yield Check(f"no worse slice by {name}", not worse, detail)


def _interval(gain: Estimate) -> str:
    return f"{gain.value:.5f} [{gain.low:.5f}, {gain.high:.5f}]"
