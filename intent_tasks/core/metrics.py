"""Metrics of predictions, each with an interval by a bootstrap over customers.

The bootstrap resamples customers, not rows, because the rows of one customer are not independent.
In each resample a customer has a Poisson(1) weight, so no row is copied and slices share the
weights. Source: Chamandy et al. 2012, "Estimating uncertainty for massive
data streams".
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from intent_tasks.core.arrays import BoolArray, FloatArray, IntegerArray

METRICS = (
    "accuracy",
    "precision",
    "recall",
    "f1",
    "auc",
    "average_precision",
    "log_loss",
    "brier",
    "calibration_error",
    "lift_at_10",
    "base_rate",
)
"""Names of the metrics, in display order."""

RESAMPLES = 200
CALIBRATION_BINS = 10
TOP_SHARE = 0.1
"""Share of customers, highest scores first, in `lift_at_10`."""

_CLIP = 1e-7
_CHUNK_CELLS = 2_000_000  # resamples × rows in memory at a time


class Estimate(NamedTuple):
    """A value and its 95 % interval; NaN where undefined."""

    value: float
    low: float
    high: float


def resample_weights(customer_count: int, seed: int, resamples: int = RESAMPLES) -> FloatArray:
    """Return the weight of each customer in each resample, shape (resamples, customers)."""
    rng = np.random.default_rng(seed)
    return rng.poisson(1.0, (resamples, customer_count)).astype(np.float32)


def metrics(
    probabilities: FloatArray,
    outcomes: BoolArray,
    threshold: float,
    weights: FloatArray,
    customers: IntegerArray | None = None,
) -> dict[str, Estimate]:
    """Return every metric of one set of predictions.

    Args:
        probabilities: predicted probabilities, float, shape (n,).
        outcomes: labels, shape (n,).
        threshold: minimum probability that counts as a predicted purchase, for accuracy,
            precision, recall and F1.
        weights: from `resample_weights`, shape (resamples, customers).
        customers: row → column of `weights`, shape (n,); None: row i is customer i.

    Returns:
        Metric name → estimate. AUC, average precision, lift and recall are NaN without buyers.
    """
    rows = _Rows(np.asarray(probabilities, float), np.asarray(outcomes, bool), threshold)
    values = rows.measure(np.ones((1, len(probabilities)), np.float32))
    chunks = [rows.measure(chunk) for chunk in _chunks(weights, customers, len(probabilities))]
    resampled = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in METRICS}
    return {name: _estimate(values[name][0], resampled[name]) for name in METRICS}


def constant_metrics(probability: float, outcomes: BoolArray, threshold: float) -> dict[str, float]:
    """Return every metric of a constant prediction: the baseline."""
    rows = _Rows(np.full(len(outcomes), probability), np.asarray(outcomes, bool), threshold)
    measured = rows.measure(np.ones((1, len(outcomes)), np.float32))
    return {name: float(measured[name][0]) for name in METRICS}


def log_losses(probabilities: FloatArray, outcomes: BoolArray) -> FloatArray:
    """Return the log loss of each prediction, in nats, shape (n,)."""
    clipped = np.clip(probabilities, _CLIP, 1 - _CLIP)
    losses: FloatArray = -np.log(np.where(outcomes, clipped, 1 - clipped))
    return losses


def paired_difference(
    losses: FloatArray,
    other_losses: FloatArray,
    weights: FloatArray,
    customers: IntegerArray | None = None,
) -> Estimate:
    """Return the mean of `other_losses - losses`: positive if the first model is better.

    Args:
        losses: loss of each row, shape (n,).
        other_losses: loss of the same rows under another model, shape (n,).
        weights: from `resample_weights`, shape (resamples, customers).
        customers: row → column of `weights`, shape (n,); None: row i is customer i.
    """
    gain = np.asarray(other_losses, float) - np.asarray(losses, float)
    means = [w @ gain / _sums(w) for w in _chunks(weights, customers, len(gain))]
    return _estimate(float(gain.mean()), np.concatenate(means))


def best_threshold(probabilities: FloatArray, outcomes: BoolArray) -> float:
    """Return the threshold with the highest F1; 0.5 when nobody purchased."""
    outcomes = np.asarray(outcomes, bool)
    if not outcomes.any():
        return 0.5
    order = np.argsort(-np.asarray(probabilities, float), kind="stable")
    hits = np.cumsum(outcomes[order])
    f1 = 2 * hits / (np.arange(1, len(order) + 1) + hits[-1])
    ranked = np.asarray(probabilities, float)[order]
    last_of_tie = np.append(ranked[1:] != ranked[:-1], True)
    return float(ranked[np.argmax(np.where(last_of_tie, f1, -1.0))])


def _chunks(
    weights: FloatArray, customers: IntegerArray | None, row_count: int
) -> Iterator[FloatArray]:
    size = max(1, _CHUNK_CELLS // max(1, row_count))
    for start in range(0, len(weights), size):
        chunk = weights[start : start + size]
        yield chunk if customers is None else chunk[:, customers]


def _estimate(value: float, resampled: FloatArray) -> Estimate:
    defined = resampled[np.isfinite(resampled)]
    if not np.isfinite(value) or not len(defined):
        return Estimate(float(value), np.nan, np.nan)
    low, high = np.quantile(defined, [0.025, 0.975])
    return Estimate(float(value), float(low), float(high))


def _sums(weights: FloatArray) -> FloatArray:
    sums: FloatArray = weights.sum(axis=1, dtype=np.float64)
    return sums


def _ratio(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Divide; NaN where the divisor is 0."""
    ratio: FloatArray = np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0)
    return ratio


class _Rows:
    """Predictions sorted from high to low, whose metrics are computed for many weightings."""

    def __init__(self, probabilities: FloatArray, outcomes: BoolArray, threshold: float) -> None:
        self._order = np.argsort(-probabilities, kind="stable")
        p, y = probabilities[self._order], outcomes[self._order]
        self._probabilities, self._outcomes = p, y.astype(np.float32)
        self._tie_starts = np.flatnonzero(np.append(True, p[1:] != p[:-1])[: len(p)])
        predicted = p >= threshold
        bins = np.minimum((p * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
        in_bin = bins[:, None] == np.arange(CALIBRATION_BINS)  # (n, bins)
        columns = [y, predicted, y & predicted, log_losses(p, y), (p - y) ** 2]
        off = in_bin * (p - y)[:, None]  # (n, bins)
        # float64: a sum of millions of weights must not lose its small terms.
        self._columns = np.column_stack([*columns, off]).astype(np.float64)

    def measure(self, weights: FloatArray) -> dict[str, FloatArray]:
        """Return metric → values, shape (resamples,), for weights of shape (resamples, n)."""
        sorted_weights = weights[:, self._order]
        sums = sorted_weights @ self._columns  # (resamples, columns)
        total = _sums(sorted_weights)
        buyers, predicted, hits = sums[:, 0], sums[:, 1], sums[:, 2]
        precision, recall = _ratio(hits, predicted), _ratio(hits, buyers)
        return {
            "accuracy": _ratio(total - predicted - buyers + 2 * hits, total),
            "precision": precision,
            "recall": recall,
            "f1": _ratio(2 * hits, predicted + buyers),
            "log_loss": _ratio(sums[:, 3], total),
            "brier": _ratio(sums[:, 4], total),
            "calibration_error": _ratio(np.abs(sums[:, 5:]).sum(axis=1), total),
            "base_rate": _ratio(buyers, total),
            **self._ranking(sorted_weights, buyers, total),
        }

    def _ranking(
        self, weights: FloatArray, buyers: FloatArray, total: FloatArray
    ) -> dict[str, FloatArray]:
        """Return the ranking metrics; tied rows count as one, so their order does not matter."""
        if not len(self._tie_starts):
            undefined = np.full(len(weights), np.nan)
            return dict.fromkeys(("auc", "average_precision", "lift_at_10"), undefined)
        everyone = np.add.reduceat(weights, self._tie_starts, axis=1, dtype=np.float64)
        bought = np.add.reduceat(
            weights * self._outcomes, self._tie_starts, axis=1, dtype=np.float64
        )
        ranked, hits = everyone.cumsum(axis=1), bought.cumsum(axis=1)  # (resamples, ties)
        below = total[:, None] - buyers[:, None] - (ranked - hits)
        ordered = (bought * (below + (everyone - bought) / 2)).sum(axis=1)
        precision = np.divide(hits, ranked, out=np.zeros_like(hits), where=ranked > 0)
        return {
            "auc": _ratio(ordered, buyers * (total - buyers)),
            "average_precision": _ratio((bought * precision).sum(axis=1), buyers),
            "lift_at_10": _lift(everyone, bought, ranked, buyers, total),
        }


def _lift(
    everyone: FloatArray,
    bought: FloatArray,
    ranked: FloatArray,
    buyers: FloatArray,
    total: FloatArray,
) -> FloatArray:
    """Return the purchase rate of the top share over that of all; a tie counts by its share."""
    room = TOP_SHARE * total[:, None] - (ranked - everyone)
    share = np.clip(np.divide(room, everyone, out=np.zeros_like(room), where=everyone > 0), 0, 1)
    return _ratio((bought * share).sum(axis=1), TOP_SHARE * buyers)
