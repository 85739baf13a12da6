"""Fit the calibration of a trained network on the calibration split."""

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from intent_tasks.core.arrays import FloatArray, Int32Array
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models.network import Network

SCALE_PRIOR_DEVIATION, SHIFT_PRIOR_DEVIATION = 0.1, 0.2
"""Standard deviations of the normal priors of log scale and of the shifts, both with mean 0: a few
days of calibration describe those days better than the days to come."""


def fit(network: Network, logits: FloatArray, first_purchase: Int32Array, customers: int) -> None:
    """Fit scale and shift of the logits; the other weights stay.

    Args:
        network: trained, with the identity as calibration.
        logits: logits of the calibration split, shape (n, horizons).
        first_purchase: horizon of the first purchase of each row, shape (n,).
        customers: number of customers; the rows of one customer count as one observation.
    """
    logits = logits.astype(np.float64)
    intervals = np.arange(len(HORIZONS_DAYS))[None, :]
    happened = intervals == first_purchase[:, None]
    at_risk = intervals <= first_purchase[:, None]
    deviation = np.array([SCALE_PRIOR_DEVIATION, *[SHIFT_PRIOR_DEVIATION] * len(HORIZONS_DAYS)])

    def objective(weights: npt.NDArray[np.float64]) -> float:
        """Return the negative log posterior for each customer, up to a constant."""
        z = logits * np.exp(weights[0]) + weights[1:]
        losses = np.logaddexp(0.0, z) - happened * z
        likelihood = customers * (losses * at_risk).sum() / len(first_purchase)
        prior = ((weights / deviation) ** 2).sum() / 2
        return float((likelihood + prior) / customers)

    weights = minimize(objective, np.zeros(len(deviation)), method="L-BFGS-B").x
    network.calibration.set_weights([np.exp(weights[:1]), weights[1:]])
