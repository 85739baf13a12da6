"""Baselines for the network: logistic regressions and boosted trees on hand-made features.

The trees stop early on the calibration split, as the network does, and are a mean over seeds, which
is a stronger baseline than one booster. The parameters come from a short search; see
`docs/experiments.md` for what was tried and where it used test days.
"""

import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

# Waiting threads must not spin: on shared cores that made the trees 25 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from lightgbm import Booster, Dataset, early_stopping, train
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from intent_tasks.core.arrays import BoolArray, FloatArray
from intent_tasks.core.features import FEATURES, RECENCY_FREQUENCY

LIGHTGBM_PARAMETERS = {
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
MAX_TREES, PATIENCE = 1500, 40
SEEDS = 2
"""Number of boosters in the mean."""
MAX_ROWS = 1_000_000
"""Maximum number of training rows of the trees, an even sample: near anchors are nearly equal."""
MAX_LINEAR_ROWS = 200_000
INVERSE_REGULARIZATION = 0.01
"""`C` of the logistic regressions."""


class LabeledFeatures(NamedTuple):
    """Features, shape (n, features), and labels, shape (n,)."""

    features: FloatArray
    outcomes: BoolArray


def recency_frequency(features: FloatArray) -> FloatArray:
    """Return the columns of recency and frequency, in the order of `RECENCY_FREQUENCY`."""
    return features[:, [FEATURES.index(name) for name in RECENCY_FREQUENCY]]


class LogisticModel(NamedTuple):
    """A logistic regression.

    Args:
        coefficients: of each feature, unscaled, shape (features,).
        shift: log-odds where all features are 0.
    """

    coefficients: FloatArray
    shift: float

    def __call__(self, features: FloatArray) -> FloatArray:
        """Return probabilities, shape (n,), of features of shape (n, features)."""
        result: FloatArray = expit(features.astype(np.float64) @ self.coefficients + self.shift)
        return result


def logistic(rows: LabeledFeatures) -> LogisticModel:
    """Fit a logistic regression."""
    if rows.outcomes.all() or not rows.outcomes.any():
        return LogisticModel(np.zeros(rows.features.shape[1]), float(logit(rows.outcomes.mean())))
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=INVERSE_REGULARIZATION, max_iter=500)
    )
    model.fit(*_subsampled(rows, MAX_LINEAR_ROWS))
    scaler, line = model[0], model[1]
    coefficients = line.coef_[0] / scaler.scale_
    return LogisticModel(coefficients, float(line.intercept_[0] - coefficients @ scaler.mean_))


@dataclass(frozen=True)
class Trees:
    """Boosted trees: the mean log-odds of some boosters, shifted.

    Args:
        boosters: none if all labels were equal.
        shift: of the log-odds.
    """

    boosters: tuple[Booster, ...]
    shift: float

    def __call__(self, features: FloatArray) -> FloatArray:
        """Return probabilities, shape (n,), of features of shape (n, features)."""
        result = [np.asarray(b.predict(features, raw_score=True)) for b in self.boosters]
        return np.asarray(
            expit(sum(result, np.zeros(len(features))) / max(len(result), 1) + self.shift)
        )


def boosted_trees(
    rows: LabeledFeatures, validation: LabeledFeatures, seed: int, **changed: object
) -> Trees:
    """Fit LightGBM, stopped early and shifted on a validation split.

    Args:
        rows: training rows.
        validation: rows of days after a gap.
        seed: seed of the first booster.
        changed: parameters that replace those of `LIGHTGBM_PARAMETERS`.
    """
    if rows.outcomes.all() or not rows.outcomes.any():
        return Trees((), float(logit(rows.outcomes.mean())))
    features, outcomes = _subsampled(rows, MAX_ROWS)
    data = Dataset(
        features, outcomes, params={"max_bin": LIGHTGBM_PARAMETERS["max_bin"], "verbosity": -1}
    )
    validation_data = Dataset(validation.features, validation.outcomes, reference=data)
    boosters = [
        train(
            {**LIGHTGBM_PARAMETERS, "seed": seed + n, **changed},
            data,
            MAX_TREES,
            valid_sets=[validation_data],
            callbacks=[early_stopping(PATIENCE, verbose=False)],
        )
        for n in range(SEEDS)
    ]
    unshifted = Trees(tuple(boosters), 0.0)
    shift = centering_shift(logit(unshifted(validation.features)), validation.outcomes)
    return Trees(unshifted.boosters, shift)


def centering_shift(log_odds: FloatArray, outcomes: BoolArray) -> float:
    """Return the shift of log-odds with the lowest log loss."""
    result = minimize_scalar(lambda s: _loss(log_odds + s, outcomes), bounds=(-2, 2))
    return float(result.x)


def _loss(log_odds: FloatArray, outcomes: BoolArray) -> float:
    return float((np.logaddexp(0, log_odds) - outcomes * log_odds).mean())


def _subsampled(rows: LabeledFeatures, limit: int) -> LabeledFeatures:
    count = len(rows.outcomes)
    if count <= limit:
        return rows
    chosen = np.linspace(0, count - 1, limit).astype(np.int64)
    return LabeledFeatures(rows.features[chosen], rows.outcomes[chosen])
