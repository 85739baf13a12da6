"""Bands of predictions: lift over the base rate of the main horizon."""

import numpy as np

from intent_tasks.core.arrays import FloatArray
from intent_tasks.definition import BANDS

_LEAST_BASE_RATE = 1e-9


def bands(probabilities: FloatArray, base_rate: float) -> list[str]:
    """Return the band of each customer.

    Args:
        probabilities: of a purchase within the main horizon, shape (customers,).
        base_rate: share of customers who purchase within it.
    """
    names, least_lift = list(BANDS), np.array(list(BANDS.values()))
    lift = np.asarray(probabilities) / max(base_rate, _LEAST_BASE_RATE)
    return [names[n] for n in (lift[:, None] < least_lift[None, :]).sum(axis=1)]
