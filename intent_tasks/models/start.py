"""Where a network begins: at what boosted trees and a logistic regression know together.

Their log-odds, weighed for each horizon, are the logits of the hazards to which the network adds
what it learns: at first nothing. Rows to learn from are told what models say that have not seen
their customer (cross-fitting): what a model says of its own rows is surer than it is of others, and
the network would learn to mistrust what is right.
Sources: Wolpert 1992, "Stacked generalization"; Chernozhukov et al. 2018, "Double/debiased machine
learning", on cross-fitting.
"""

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, logit

from intent_tasks.core.encoding import Encoded
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models.baselines import Floats, Line, Trees
from intent_tasks.models.network import Network

FOLDS = 5
"""Parts of the customers, each told by models that were fitted on the other parts."""
SMALLEST = 1e-6
"""Nearest that a probability comes to 0 and 1 where its log-odds are taken."""
DOUBT = 0.2
"""How far the weight of either model may be from what is expected, 1 of the trees and 0 of the
line: standard deviation of the prior. Rows of one customer count as one."""


class Start(NamedTuple):
    """Logits of the hazards before anything is learned of the order of events.

    Args:
        trees: boosted trees.
        line: a logistic regression.
        weights: shift, weight of the trees' and of the line's log-odds for each horizon, shape
            (horizons, 3).
    """

    trees: Trees
    line: Line
    weights: npt.NDArray[np.float64]

    def __call__(self, features: Floats) -> npt.NDArray[np.float32]:
        """Return logits of the hazards, shape (n, horizons), from features, (n, features)."""
        return weighed(self.weights, told(self.trees, self.line, features))

    @property
    def slopes(self) -> npt.NDArray[np.float64]:
        """What a unit of each feature is worth to the logits, shape (horizons, features).

        The trees have no slopes: those of the line stand for them.
        """
        return np.outer(self.weights[:, 1:].sum(axis=1), self.line.slopes)

    def scaled(self, factor: float) -> "Start":
        """Return it with all logits times a factor."""
        return self._replace(weights=self.weights * factor)


@dataclass(frozen=True)
class Unseen:
    """A start for rows that are learned from: by models that have not seen the customer.

    Args:
        folds: models without each part of the customers.
    """

    folds: tuple[Start, ...]

    def __call__(self, encoded: Encoded) -> npt.NDArray[np.float32]:
        """Return logits of the hazards, shape (n, horizons)."""
        fold = hashed(encoded) % FOLDS
        found = np.zeros((len(fold), len(HORIZONS_DAYS)), np.float32)
        for n, start in enumerate(self.folds):
            found[fold == n] = start(encoded.features[fold == n])
        return found


def hashed(encoded: Encoded) -> npt.NDArray[np.uint32]:
    """Return a number of the customer of each row, the same for good, shape (n,)."""
    of_keys = [zlib.crc32(str(key).encode()) for key in encoded.events.keys]
    return np.array(of_keys, np.uint32)[encoded.customers]


def told(trees: Trees, line: Line, features: Floats) -> npt.NDArray[np.float64]:
    """Return the log-odds that both say, shape (n, 2)."""
    both = [np.clip(model(features), SMALLEST, 1 - SMALLEST) for model in (trees, line)]
    return np.asarray(logit(np.stack(both, axis=1)))


def weighed(
    weights: npt.NDArray[np.float64], log_odds: npt.NDArray[np.float64]
) -> npt.NDArray[np.float32]:
    """Return logits of the hazards, shape (n, horizons), from log-odds of shape (n, 2)."""
    return np.asarray(weights[:, 0] + log_odds @ weights[:, 1:].T, np.float32)


def weights(
    log_odds: npt.NDArray[np.float64],
    first: npt.NDArray[np.int32],
    customers: npt.NDArray[np.integer],
) -> npt.NDArray[np.float64]:
    """Return how the log-odds of both models make the likeliest hazards, shape (horizons, 3).

    Args:
        log_odds: of both, by models that have not seen the row, shape (n, 2).
        first: horizon of the first purchase of each row, shape (n,).
        customers: whose row each is, shape (n,).
    """
    found = []
    for n in range(len(HORIZONS_DAYS)):
        at_risk = first >= n
        count = len(np.unique(customers[at_risk]))
        found.append(_likeliest(log_odds[at_risk], first[at_risk] == n, count))
    return np.stack(found)


def _likeliest(
    log_odds: npt.NDArray[np.float64], happened: npt.NDArray[np.bool_], customers: int
) -> npt.NDArray[np.float64]:
    """Return the shift and weights of one hazard, shape (3,)."""
    rows, expected = max(len(happened), 1), np.array([1.0, 0.0])
    mean = log_odds.sum(axis=0) / rows
    known, pull = log_odds - mean, 1 / (DOUBT**2 * max(customers, 1))
    rate = (happened.sum() + 0.5) / (len(happened) + 1)

    def loss(w: Floats) -> tuple[float, Floats]:
        z, far = w[0] + known @ w[1:], w[1:] - expected
        value = (np.logaddexp(0, z) - happened * z).sum() / rows + pull * far @ far / 2
        error = (expit(z) - happened) / rows
        return float(value), np.array([error.sum(), *(error @ known + pull * far)])

    begun = np.array([logit(rate), *expected])
    found = minimize(loss, begun, jac=True, method="L-BFGS-B").x
    return np.array([found[0] - found[1:] @ mean, *found[1:]])


def begin(network: Network) -> None:
    """Let a fresh network add nothing to where it begins."""
    for name in ("straight", "hazard"):
        layer = network.decide.get_layer(name)
        layer.set_weights([np.zeros_like(values) for values in layer.get_weights()])
