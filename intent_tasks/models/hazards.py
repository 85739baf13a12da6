"""Hazards of the first purchase: one curve for all horizons, and its losses.

The hazard of an interval is the probability of a first purchase in it, given none before. The
probabilities of 1, 3, 7 and 14 days come from one curve, so they cannot contradict each other.
Source: Gensheimer & Narasimhan 2019, "A scalable discrete-time survival model for neural networks".
"""

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from intent_tasks.core.arrays import FloatArray
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models.tensors import Tensor

MAIN_INDEX = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)
"""Index of the main horizon in `HORIZONS_DAYS`."""


def probabilities(logits: FloatArray) -> npt.NDArray[np.float64]:
    """Return, from logits, the probability of a purchase within each horizon, same shape."""
    survive = -np.logaddexp(0.0, np.asarray(logits, np.float64))  # log(1 - hazard)
    result: npt.NDArray[np.float64] = -np.expm1(np.cumsum(survive, axis=1))
    return result


def hazard_loss(first_interval: Tensor, logits: Tensor) -> Tensor:
    """Return the negative log likelihood of each customer, shape (n,).

    Args:
        first_interval: horizon of the first purchase; the number of horizons if none. Shape (n,).
        logits: logits of the hazards, shape (n, horizons).
    """
    intervals = tf.range(len(HORIZONS_DAYS), dtype=tf.int32)[None, :]
    first = tf.cast(tf.reshape(first_interval, (-1, 1)), tf.int32)
    happened = tf.cast(intervals == first, logits.dtype)
    at_risk = tf.cast(intervals <= first, logits.dtype)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(labels=happened, logits=logits)
    return tf.reduce_sum(losses * at_risk, axis=1)


def log_probabilities(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Return the log probabilities of a purchase, and of none, within the main horizon, (n,)."""
    none = -tf.reduce_sum(tf.nn.softplus(logits[:, : MAIN_INDEX + 1]), axis=1)
    return tf.math.log(-tf.math.expm1(tf.minimum(none, -1e-6))), none


def distillation_loss(teacher: Tensor, logits: Tensor) -> Tensor:
    """Return the cross entropy with a teacher's probabilities at the main horizon, shape (n,).

    Args:
        teacher: the teacher's probabilities of a purchase within the main horizon, shape (n,).
        logits: logits of the hazards, shape (n, horizons).
    """
    some, none = log_probabilities(logits)
    return -(teacher * some + (1 - teacher) * none)
