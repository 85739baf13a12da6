"""Blend of the network and the boosted trees: a weighted mean of their log-odds.

Their errors differ, so the mean is often better than either. The blend is computed at the main
horizon. To get the other horizons, one shift is added to the logits of all hazards, such that the
main horizon has the blended probability; the four horizons still come from one curve.
"""

from typing import NamedTuple

import numpy as np
from scipy.special import expit, logit

from intent_tasks.core.arrays import BoolArray, Float64Array, FloatArray, IntegerArray
from intent_tasks.core.metrics import log_losses
from intent_tasks.models.baselines import Trees
from intent_tasks.models.hazards import MAIN_INDEX, probabilities

MIN_PROBABILITY = 1e-6
"""Probabilities are clipped at this distance from 0 and 1 before log-odds."""
SHARES = np.linspace(0, 1, 51)
"""Candidates for the share of the network."""
PRIOR_MEAN, PRIOR_DEVIATION = 0.5, 0.2
"""Normal prior of the share of the network."""
CONFIDENCE = 1.96
"""Standard errors from a mean to its lower bound: 95 %."""
MAX_SHIFT, BISECTIONS = 64.0, 48
"""Bracket of the shift of logits, and how often it is halved."""


class Blend(NamedTuple):
    """Boosted trees that are blended with the network.

    Args:
        share: weight of the network in the log-odds, from 0 to 1.
        trees: the other model.
    """

    share: float
    trees: Trees

    def probabilities(self, logits: FloatArray, features: FloatArray) -> Float64Array:
        """Return the blended probability of a purchase within each horizon, shape (n, horizons).

        Args:
            logits: logits of the hazards, from the network, shape (n, horizons).
            features: features of the same customers, shape (n, features).
        """
        network = probabilities(logits)[:, MAIN_INDEX]
        target = blend_log_odds(self.share, network, self.trees(features))
        return probabilities(shift_to(logits, target))


def fit(
    network: FloatArray, trees: FloatArray, outcomes: BoolArray, customers: IntegerArray
) -> float:
    """Return the share of the network with the highest posterior on the calibration split.

    The prior prefers equal shares, because with a few hundred rows fitted shares are seldom better.
    With many customers the data outweigh it.
    Source: Smith & Wallis 2009, "A simple explanation of the forecast combination puzzle".

    Args:
        network: probabilities of the network at the main horizon, shape (n,).
        trees: probabilities of the boosted trees on the same rows.
        outcomes: labels.
        customers: customer of each row, numbered from 0; the rows of one customer count as one
            observation.
    """
    losses = [
        log_losses(blend_log_odds(share, network, trees), outcomes).mean() for share in SHARES
    ]
    prior = (SHARES - PRIOR_MEAN) ** 2 / (2 * PRIOR_DEVIATION**2)
    return float(SHARES[np.argmin(np.array(losses) * len(np.unique(customers)) + prior)])


def safest_share(
    base: FloatArray, full: FloatArray, outcomes: BoolArray, customers: IntegerArray
) -> float:
    """Return the share of an addition to a model whose gain has the highest lower bound.

    Args:
        base: probabilities without the addition, shape (n,).
        full: probabilities with all of it.
        outcomes: labels.
        customers: customer of each row, numbered from 0.
    """
    base_losses, bounds = log_losses(base, outcomes), []
    for share in SHARES:
        gain = base_losses - log_losses(blend_log_odds(share, full, base), outcomes)
        bounds.append(gain.mean() - CONFIDENCE * _standard_error(gain, customers))
    return float(SHARES[int(np.argmax(bounds))])


def _standard_error(values: FloatArray, customers: IntegerArray) -> float:
    """Return the standard error of the mean of rows clustered by customer."""
    return float(np.sqrt((np.bincount(customers, values - values.mean()) ** 2).sum()) / len(values))


def blend_log_odds(share: float, first: FloatArray, second: FloatArray) -> Float64Array:
    """Return probabilities, shape (n,), with `share` of the first and the rest of the second."""
    a, b = (logit(np.clip(p, MIN_PROBABILITY, 1 - MIN_PROBABILITY)) for p in (first, second))
    return np.asarray(expit(share * a + (1 - share) * b))


def shift_to(logits: FloatArray, target: FloatArray) -> Float64Array:
    """Shift the logits of each row so that its main horizon has a given probability.

    Args:
        logits: logits of the hazards, shape (n, horizons).
        target: probabilities within the main horizon, between 0 and 1, shape (n,).
    """
    logits = np.asarray(logits, np.float64)
    low, high = np.full(len(logits), -MAX_SHIFT), np.full(len(logits), MAX_SHIFT)
    for _ in range(BISECTIONS):
        shift = (low + high) / 2
        shifted = logits[:, : MAIN_INDEX + 1] + shift[:, None]
        above = probabilities(shifted)[:, MAIN_INDEX] > target
        low, high = np.where(above, low, shift), np.where(above, shift, high)
    result: Float64Array = logits + ((low + high) / 2)[:, None]
    return result
