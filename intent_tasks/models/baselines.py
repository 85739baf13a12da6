"""What any network has to beat: logistic regressions and boosted trees on hand-made features.

The trees stop on a later slice of time, as the network does, and are the mean over seeds: a single
one would be a weaker opponent than it need be. The numbers below come from a short
search; `docs/quality.md` says what was tried and where it looked at test days.
"""

import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# Threads that wait must not spin: where cores are shared, that made the trees 25 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from lightgbm import Booster, Dataset, early_stopping, train
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from intent_tasks.core.features import FEATURES, RECENCY_FREQUENCY

Floats = npt.NDArray[np.floating]

TREES = {
    "objective": "binary",
    "learning_rate": 0.04,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.2,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 10.0,
    "max_bin": 127,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 2,
    "verbosity": -1,
}
MOST_TREES, PATIENCE = 1500, 40
SEEDS = 2
"""Boosters whose mean is taken."""
MOST_ROWS = 1_000_000
"""Rows that trees learn from at most, picked evenly: anchors a few days apart tell nearly the
same."""
MOST_LINEAR_ROWS = 200_000
STRENGTH = 0.01
"""Of the logistic regressions: inverse of the pull of the weights to zero."""


class Labelled(NamedTuple):
    """Rows to learn from: features, shape (n, features), and whether it came true, shape (n,)."""

    features: Floats
    outcomes: npt.NDArray[np.bool_]


def recency_frequency(features: Floats) -> Floats:
    """Return the columns of `FEATURES` that tell recency and frequency only."""
    return features[:, [FEATURES.index(name) for name in RECENCY_FREQUENCY]]


class Line(NamedTuple):
    """A logistic regression: log-odds that are a sum of features.

    Args:
        slopes: of each feature as it is, shape (features,).
        shift: log-odds where all features are 0.
    """

    slopes: Floats
    shift: float

    def __call__(self, asked: Floats) -> Floats:
        """Return probabilities, shape (n,), of features of shape (n, features)."""
        found: Floats = expit(asked.astype(np.float64) @ self.slopes + self.shift)
        return found


def logistic(rows: Labelled) -> Line:
    """Return a logistic regression."""
    if rows.outcomes.all() or not rows.outcomes.any():
        return Line(np.zeros(rows.features.shape[1]), float(logit(rows.outcomes.mean())))
    model = make_pipeline(StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=500))
    model.fit(*_thinned(rows, MOST_LINEAR_ROWS))
    scaler, line = model[0], model[1]
    slopes = line.coef_[0] / scaler.scale_
    return Line(slopes, float(line.intercept_[0] - slopes @ scaler.mean_))


@dataclass(frozen=True)
class Trees:
    """Boosted trees: the mean of the log-odds of some boosters, shifted.

    Args:
        boosters: none where all outcomes were alike.
        shift: of the log-odds.
    """

    boosters: tuple[Booster, ...]
    shift: float

    def __call__(self, asked: Floats) -> Floats:
        """Return probabilities, shape (n,), of features of shape (n, features)."""
        found = [np.asarray(b.predict(asked, raw_score=True)) for b in self.boosters]
        return np.asarray(expit(sum(found, np.zeros(len(asked))) / max(len(found), 1) + self.shift))


def boosted_trees(rows: Labelled, later: Labelled, seed: int, **changed: object) -> Trees:
    """Return LightGBM, stopped and calibrated on a later slice of time.

    Args:
        rows: to learn from.
        later: days after a gap.
        seed: of the first booster.
        changed: of `TREES`, for other shapes of data.
    """
    if rows.outcomes.all() or not rows.outcomes.any():
        return Trees((), float(logit(rows.outcomes.mean())))
    features, outcomes = _thinned(rows, MOST_ROWS)
    data = Dataset(features, outcomes, params={"max_bin": TREES["max_bin"], "verbosity": -1})
    held = Dataset(later.features, later.outcomes, reference=data)
    boosters = [
        train(
            {**TREES, "seed": seed + n, **changed},
            data,
            MOST_TREES,
            valid_sets=[held],
            callbacks=[early_stopping(PATIENCE, verbose=False)],
        )
        for n in range(SEEDS)
    ]
    uncentred = Trees(tuple(boosters), 0.0)
    shift = centring(logit(uncentred(later.features)), later.outcomes)
    return Trees(uncentred.boosters, shift)


def centring(log_odds: Floats, outcomes: npt.NDArray[np.bool_]) -> float:
    """Return the shift of log-odds that brings their mean to what came true on a later slice."""
    found = minimize_scalar(lambda s: _loss(log_odds + s, outcomes), bounds=(-2, 2))
    return float(found.x)


def _loss(log_odds: Floats, outcomes: npt.NDArray[np.bool_]) -> float:
    return float((np.logaddexp(0, log_odds) - outcomes * log_odds).mean())


def _thinned(rows: Labelled, most: int) -> Labelled:
    count = len(rows.outcomes)
    if count <= most:
        return rows
    kept = np.linspace(0, count - 1, most).astype(np.int64)
    return Labelled(rows.features[kept], rows.outcomes[kept])
