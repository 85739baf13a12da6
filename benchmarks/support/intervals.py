"""Intervals by bootstrap over customers."""

import numpy as np

SEED, RESAMPLES = 7, 1000


def mean_and_interval(values: np.ndarray, customers: np.ndarray) -> str:
    """Return the mean of values of rows and its 95 % interval, as text.

    Args:
        values: one of each row, shape (n,).
        customers: whose row it is, shape (n,).
    """
    _, code = np.unique(customers, return_inverse=True)
    total, count = np.bincount(code, values), np.bincount(code)
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(0, len(count), (RESAMPLES, len(count)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():+.4f} [{low:+.4f}, {high:+.4f}]"
