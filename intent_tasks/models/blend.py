"""The network and boosted trees mixed: a weighted mean of their log-odds at the main horizon.

The two err in different places, so their mean is often nearer than either. The other horizons
follow: all hazards of the network are moved by the one shift of logits that brings the main horizon
to the mixed probability, so that the four still come from one curve.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from intent_tasks.core.metrics import log_losses
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models.baselines import Floats, Trees
from intent_tasks.models.hazards import probabilities

MAIN = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)
SMALLEST = 1e-6
"""Nearest that a probability comes to 0 and 1 where its log-odds are taken."""
SHARES = np.linspace(0, 1, 51)
"""Among which the share of the network is chosen."""
EQUAL, SPREAD = 0.5, 0.2
"""Mean and deviation of the share, as it is known before a slice is looked at."""
SURE = 1.96
"""Standard errors between a gain and its lower bound: 95 %."""
FARTHEST, HALVINGS = 64.0, 48
"""Largest shift of logits that is looked for, and how often its bracket is halved."""


class Blend(NamedTuple):
    """What is mixed with the network.

    Args:
        share: of the network in the log-odds, from 0 to 1.
        trees: the other part.
    """

    share: float
    trees: Trees

    def probabilities(self, logits: Floats, features: Floats) -> npt.NDArray[np.float64]:
        """Return the mixed probability of a purchase within each horizon, shape (n, horizons).

        Args:
            logits: of the hazards, from the network, shape (n, horizons).
            features: of the same customers, shape (n, features).
        """
        network = probabilities(logits)[:, MAIN]
        wanted = mixed(self.share, network, self.trees(features))
        return probabilities(moved(logits, wanted))


def fit(
    network: Floats,
    trees: Floats,
    outcomes: npt.NDArray[np.bool_],
    customers: npt.NDArray[np.integer],
) -> float:
    """Return the likeliest share of the network, given a later slice and what is known before.

    Before, an equal share is likeliest: models that err in different places are seldom better mixed
    by weights that a few hundred rows tell. A slice of many customers overrules it.
    Source: Smith & Wallis 2009, "A simple explanation of the forecast combination puzzle".

    Args:
        network: probabilities of the network there, at the main horizon, shape (n,).
        trees: of the boosted trees on the same rows.
        outcomes: whether it came true.
        customers: whose row each is, numbers from 0 on: rows of one customer tell one thing.
    """
    losses = [log_losses(mixed(share, network, trees), outcomes).mean() for share in SHARES]
    unlikely = (SHARES - EQUAL) ** 2 / (2 * SPREAD**2)
    return float(SHARES[np.argmin(np.array(losses) * len(np.unique(customers)) + unlikely)])


def surest(
    less: Floats,
    more: Floats,
    outcomes: npt.NDArray[np.bool_],
    customers: npt.NDArray[np.integer],
) -> float:
    """Return how much of what a model learned on top of another is surely a gain, from 0 to 1.

    The share with the highest lower bound of the gain, not with the highest gain.

    Args:
        less: probabilities without it, shape (n,).
        more: with all of it.
        outcomes: whether it came true.
        customers: whose row each is, numbers from 0 on.
    """
    alone, bounds = log_losses(less, outcomes), []
    for share in SHARES:
        gain = alone - log_losses(mixed(share, more, less), outcomes)
        bounds.append(gain.mean() - SURE * _deviation(gain, customers))
    return float(SHARES[int(np.argmax(bounds))])


def _deviation(values: Floats, customers: npt.NDArray[np.integer]) -> float:
    """Return the standard error of the mean of rows that belong to customers."""
    return float(np.sqrt((np.bincount(customers, values - values.mean()) ** 2).sum()) / len(values))


def mixed(share: float, network: Floats, trees: Floats) -> Floats:
    """Return the mean of log-odds as probabilities, shape (n,) each."""
    a, b = (logit(np.clip(p, SMALLEST, 1 - SMALLEST)) for p in (network, trees))
    return np.asarray(expit(share * a + (1 - share) * b))


def moved(logits: Floats, wanted: Floats) -> npt.NDArray[np.float64]:
    """Return logits of hazards, each row shifted so that its main horizon has a probability.

    Args:
        logits: shape (n, horizons).
        wanted: probabilities within the main horizon, between 0 and 1, shape (n,).
    """
    whole = np.asarray(logits, np.float64)
    low, high = np.full(len(whole), -FARTHEST), np.full(len(whole), FARTHEST)
    for _ in range(HALVINGS):
        shift = (low + high) / 2
        over = probabilities(whole[:, : MAIN + 1] + shift[:, None])[:, MAIN] > wanted
        low, high = np.where(over, low, shift), np.where(over, shift, high)
    found: npt.NDArray[np.float64] = whole + ((low + high) / 2)[:, None]
    return found
