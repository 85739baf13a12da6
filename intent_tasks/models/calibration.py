"""Fit the calibration of a trained network on a later slice of time."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models.network import Network

SCALE_SPREAD, SHIFT_SPREAD = 0.1, 0.2
"""Deviations of the logarithm of the scale and of the shifts of calibration, as they are known
before a slice is looked at: a few days tell more of themselves than of the days to come."""


def fit(
    network: Network,
    logits: npt.NDArray[np.floating],
    first: npt.NDArray[np.int32],
    customers: int,
) -> None:
    """Fit scale and shift of the logits on a later slice; the rest of the network stays.

    Args:
        network: trained, with the calibration that changes nothing.
        logits: of the later slice, shape (n, horizons).
        first: horizon of the first purchase of each row, shape (n,).
        customers: whose rows they are; those of one customer tell one thing.
    """
    logits = logits.astype(np.float64)
    intervals = np.arange(len(HORIZONS_DAYS))[None, :]
    happened = intervals == first[:, None]
    at_risk = intervals <= first[:, None]
    spread = np.array([SCALE_SPREAD, *[SHIFT_SPREAD] * len(HORIZONS_DAYS)])

    def unlikely(weights: npt.NDArray[np.float64]) -> float:
        z = logits * np.exp(weights[0]) + weights[1:]
        each = np.logaddexp(0.0, z) - happened * z
        told = customers * (each * at_risk).sum() / len(first)
        return float((told + ((weights / spread) ** 2).sum() / 2) / customers)

    found = minimize(unlikely, np.zeros(len(spread)), method="L-BFGS-B").x
    network.calibration.set_weights([np.exp(found[:1]), found[1:]])
