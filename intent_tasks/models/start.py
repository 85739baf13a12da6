"""Where a network begins: at what a logistic regression knows, so that it learns the rest only."""

import numpy as np
import numpy.typing as npt
from scipy.special import logit

from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models.baselines import Line
from intent_tasks.models.network import Network

QUIET = 0.1
"""Factor on what the events say before anything is learned."""


def begin_with(network: Network, line: Line, first: npt.NDArray[np.int64]) -> None:
    """Give the straight way of a fresh network the slopes of a logistic regression.

    Args:
        network: with fresh weights; changed in place.
        line: fitted on the main horizon, from the features that the network reads.
        first: training rows by the horizon of their first purchase, shape (horizons + 1,).
    """
    normal = network.decide.get_layer("normal_past")
    mean, deviation = np.ravel(normal.mean), np.sqrt(np.ravel(normal.variance))
    kernel = np.repeat((line.slopes * deviation)[:, None], len(HORIZONS_DAYS), axis=1)
    network.decide.get_layer("straight").set_weights([kernel.astype(np.float32)])
    at_risk = first[::-1].cumsum()[::-1]
    hazards = ((first + 0.5) / (at_risk + 1))[: len(HORIZONS_DAYS)]
    share = first[: HORIZONS_DAYS.index(MAIN_HORIZON_DAYS) + 1].sum() / first.sum()
    # Who is the mean in every feature is less likely to purchase than all are in the mean.
    usual = logit(hazards) + line.shift + line.slopes @ mean - logit(share)
    hazard = network.decide.get_layer("hazard")
    hazard.set_weights([hazard.get_weights()[0] * QUIET, usual.astype(np.float32)])
