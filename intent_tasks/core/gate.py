"""The checks that a model version must pass before a person may promote it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.metrics import Estimate, log_losses, paired_difference
from intent_tasks.definition import LEAST_BUYERS

MOST_CALIBRATION_ERROR = 0.05
"""Largest mean distance between a predicted probability and how often it comes true."""
MOST_RELATIVE_CALIBRATION_ERROR = 0.5
"""The same as a share of the base rate: where few purchase, 0.05 would forgive everything."""
LEAST_CALIBRATION_ERROR = 0.01
"""Not asked for less: so much is noise of the days that are tested."""
LEAST_LOSS = 0.5
"""Share of the best baseline's log loss below which a candidate has seen the answer: all read the
same past, and no way of reading it halves what is unknown."""
SLICE_WIDTH = 1.5
"""A slice is worse when it is so by this many half intervals: of ten slices one is by chance."""

ROUNDING = 1e-6
"""Nats below which two log losses are the same: a version that says what the trees say must not
fail because its numbers were rounded on another way."""

NAMES = {
    "recency_frequency": "recency-frequency logistic regression",
    "logistic": "logistic regression",
    "lightgbm": "LightGBM",
}
"""Baselines that a candidate must not be worse than."""

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Check:
    """One check: what was asked, whether it passed, and the figure it was judged by."""

    name: str
    passed: bool
    said: str


@dataclass(frozen=True)
class Tested:
    """Days after training, n rows at the main horizon.

    Args:
        outcomes: whether it came true, shape (n,).
        baselines: name → probabilities, shape (n,).
        base_rate: share of purchases known before these days.
        weights: from `metrics.resample_weights`.
        customers: row → column of `weights`, shape (n,).
        slices: what rows are told apart by → the value of each row, shape (n,).
    """

    outcomes: Bools
    baselines: Mapping[str, Floats]
    base_rate: float
    weights: Floats
    customers: npt.NDArray[np.integer]
    slices: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)

    def gain(self, losses: Floats, other: Floats, chosen: Bools | None = None) -> Estimate:
        """Return by how much `losses` are lower, of the rows that are chosen."""
        rows = slice(None) if chosen is None else chosen
        return paired_difference(losses[rows], other[rows], self.weights, self.customers[rows])


def judge(served: Floats, tested: Tested, calibration_error: float) -> list[Check]:
    """Judge the probabilities of a candidate, shape (n,), and their calibration error."""
    told = len(served) > 0 and bool(np.isfinite(served).all())
    if not told or served.min() < 0 or served.max() > 1:
        said = "a probability is not a number from 0 to 1, or there is none"
        return [Check("finite", False, said)]
    losses = log_losses(served, tested.outcomes)
    constant = log_losses(np.full(len(served), tested.base_rate), tested.outcomes)
    others = {name: log_losses(p, tested.outcomes) for name, p in tested.baselines.items()}
    over_base = tested.gain(losses, constant)
    return [
        Check("finite", True, "every probability is a number"),
        Check(
            "better than the base rate",
            over_base.low > 0,
            f"log loss lower by {_shown(over_base)}; the interval must be above 0",
        ),
        _calibrated(calibration_error, tested.base_rate),
        *_not_worse(losses, others, tested),
        _believable(losses, others, constant),
        *_slices(losses, others, tested),
    ]


def _calibrated(error: float, base_rate: float) -> Check:
    relative = max(MOST_RELATIVE_CALIBRATION_ERROR * base_rate, LEAST_CALIBRATION_ERROR)
    most = min(MOST_CALIBRATION_ERROR, relative)
    said = f"calibration error {error:.4f}; at most {most:.4f} where {base_rate:.1%} purchase"
    return Check("calibrated", bool(error <= most), said)


def _not_worse(losses: Floats, others: Mapping[str, Floats], tested: Tested) -> Iterator[Check]:
    for name, other in others.items():
        gain = tested.gain(losses, other)
        said = f"log loss lower by {_shown(gain)}; the interval must not be below 0"
        yield Check(f"not worse than {NAMES[name]}", gain.high >= -ROUNDING, said)


def _believable(losses: Floats, others: Mapping[str, Floats], constant: Floats) -> Check:
    best = min(float(other.mean()) for other in [*others.values(), constant])
    share = float(losses.mean()) / best
    said = f"log loss {share:.2f} of the best baseline's; below {LEAST_LOSS} it has seen the answer"
    return Check("not too good to be true", share >= LEAST_LOSS, said)


def _slices(losses: Floats, others: Mapping[str, Floats], tested: Tested) -> Iterator[Check]:
    """Yield one check for each way of telling rows apart: no part may pay for the whole."""
    if "lightgbm" not in others:
        return
    for name, values in tested.slices.items():
        worse, looked_at = [], 0
        for value in np.unique(values):
            chosen = values == value
            buyers = int(tested.outcomes[chosen].sum())
            if min(buyers, int(chosen.sum()) - buyers) < LEAST_BUYERS:
                continue
            looked_at += 1
            gain = tested.gain(losses, others["lightgbm"], chosen)
            if gain.value + SLICE_WIDTH * (gain.high - gain.value) < -ROUNDING:
                worse.append(f"{value}: {_shown(gain)}")
        said = f"worse than LightGBM in {'; '.join(worse) or 'none'} of {looked_at} slices"
        yield Check(f"no worse slice by {name}", not worse, said)


def _shown(gain: Estimate) -> str:
    return f"{gain.value:.5f} [{gain.low:.5f}, {gain.high:.5f}]"
