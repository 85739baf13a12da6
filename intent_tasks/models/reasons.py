"""Which events moved a score most: gradient times input, for all customers at once.

Source: Shrikumar et al. 2017, "Learning important features through propagating activation
differences", section 2: to first order, what each event's vector added to the log-odds.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models.network import Network

BATCH = 2048


def effects(network: Network, inputs: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    """Return what each event added to the log-odds of a purchase, shape (n, L); 0 for padding."""
    count = len(inputs["statics"])
    parts = [
        _effects(network, {name: values[at : at + BATCH] for name, values in inputs.items()})
        for at in range(0, count, BATCH)
    ]
    return np.concatenate(parts) if parts else np.empty((0, inputs["numeric"].shape[1]), np.float32)


def _effects(network: Network, inputs: dict[str, npt.NDArray[Any]]) -> npt.NDArray[np.float32]:
    known = inputs["event_type"] != 0
    events = network.embed(inputs, training=False)
    with tf.GradientTape() as tape:
        tape.watch(events)
        logits = network.head(
            [events, tf.constant(known), tf.constant(inputs["statics"])], training=False
        )
        within = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS) + 1
        survive = tf.reduce_sum(tf.math.log_sigmoid(-logits[:, :within]), axis=1)
        odds = tf.math.log(-tf.math.expm1(survive)) - survive
    moved = tf.reduce_sum(tape.gradient(odds, events) * events, axis=2).numpy()
    return np.asarray(np.where(known, np.nan_to_num(moved), 0.0), np.float32)
