"""Hazards of a first purchase: the curve that all horizons share, and what an error of it costs.

The hazard of an interval is the probability of a first purchase in it, given none before. The
probabilities of 1, 3, 7 and 14 days come from one curve and cannot contradict each other.
Source: Gensheimer & Narasimhan 2019, "A scalable discrete-time survival model for neural networks".
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS


def probabilities(logits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """Return, from logits, the probability of a purchase within each horizon, same shape."""
    survive = -np.logaddexp(0.0, np.asarray(logits, np.float64))  # log(1 - hazard)
    result: npt.NDArray[np.float64] = -np.expm1(np.cumsum(survive, axis=1))
    return result


def hazard_loss(first_interval: Any, logits: Any) -> Any:  # noqa: ANN401 - tensors
    """Return the negative log likelihood of each customer, shape (n,).

    Args:
        first_interval: horizon of the first purchase; the number of horizons: none. Shape (n,).
        logits: of the hazards, shape (n, horizons).
    """
    intervals = tf.range(len(HORIZONS_DAYS), dtype=tf.int32)[None, :]
    first = tf.cast(tf.reshape(first_interval, (-1, 1)), tf.int32)
    happened = tf.cast(intervals == first, logits.dtype)
    at_risk = tf.cast(intervals <= first, logits.dtype)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=happened, logits=logits)
    return tf.reduce_sum(losses * at_risk, axis=1)


def taught_loss(taught: Any, logits: Any) -> Any:  # noqa: ANN401 - tensors
    """Return how far the main horizon is from what a teacher says, in nats, shape (n,).

    Args:
        taught: the teacher's probabilities of a purchase within the main horizon, shape (n,).
        logits: of the hazards, shape (n, horizons).
    """
    within = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS) + 1
    none = -tf.reduce_sum(tf.nn.softplus(logits[:, :within]), axis=1)  # log of no purchase
    some = tf.math.log(-tf.math.expm1(tf.minimum(none, -1e-6)))
    return -(taught * some + (1 - taught) * none)
