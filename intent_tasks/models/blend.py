"""The network and boosted trees mixed: a weighted mean of their log-odds at the main horizon.

The two err in different places, so their mean is often nearer than either. The other horizons
follow: all hazards of the network are moved by the one shift of logits that brings the main horizon
to the mixed probability, so that the four still come from one curve.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models.baselines import Floats, Trees, log_loss
from intent_tasks.models.network import probabilities

MAIN = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)
SMALLEST = 1e-6
"""Nearest that a probability comes to 0 and 1 where its log-odds are taken."""
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


def fit(network: Floats, trees: Floats, outcomes: npt.NDArray[np.bool_]) -> float:
    """Return the share of the network that is best on a later slice.

    Args:
        network: probabilities of the network there, at the main horizon, shape (n,).
        trees: of the boosted trees on the same rows.
        outcomes: whether it came true.
    """

    def loss(share: float) -> float:
        return log_loss(logit(mixed(share, network, trees)), outcomes)

    return float(minimize_scalar(loss, bounds=(0, 1), method="bounded").x)


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
