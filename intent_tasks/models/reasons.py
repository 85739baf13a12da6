"""Which events moved a score most, in the same pass that computes the score.

The effect of an event is the gradient of the log-odds by its vector, times that vector: what taking
the vector away would change, to first order. It costs one step back through the network, not one
scoring for each event. The hand-made features, which the same events make, are held at their usual
values meanwhile: the network has learned to do without them.
Source: Shrikumar, Greenside & Kundaje 2017, "Learning important features through propagating
activation differences", section 2.2 (gradient × input).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from intent_tasks.core.encoding import PADDING, Encoded
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models.batches import batches
from intent_tasks.models.network import Network
from intent_tasks.models.training import JIT_ROWS, PREDICTED

MOST = 8
"""Events of a customer that are returned, because some say the same."""


class Explained(NamedTuple):
    """Scores with what moved them.

    Args:
        logits: of the hazards, shape (n, horizons).
        rows: where the events are in the table they came from, strongest first, -1: there is none
            more; shape (n, MOST).
        effects: what each added to the log-odds of a purchase within the main horizon, same shape.
    """

    logits: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    effects: npt.NDArray[np.float32]


def explain(network: Network, encoded: Encoded) -> Explained:
    """Score n customers and say which events moved each score most.

    Args:
        network: trained.
        encoded: the customers.
    """
    count = len(encoded.customers)
    found = Explained(
        np.empty((count, len(HORIZONS_DAYS)), np.float32),
        np.full((count, MOST), PADDING, np.int64),
        np.zeros((count, MOST), np.float32),
    )
    both = _both(network, count >= JIT_ROWS)
    for chosen, real, inputs in batches(encoded, network.size, PREDICTED):
        logits, effects, places = (np.asarray(values)[:real] for values in both(inputs))
        chosen = chosen[:real]
        rows = np.take_along_axis(encoded.rows(chosen, inputs["place"].shape[1]), places, axis=1)
        effects = np.where(rows != PADDING, effects, 0)
        found.logits[chosen] = logits
        found.rows[chosen, : rows.shape[1]] = rows
        found.effects[chosen, : rows.shape[1]] = effects
    return found


@lru_cache(maxsize=2)
def _both(network: Network, jit: bool) -> Callable[[Any], Any]:
    """Return the function from inputs to logits, strongest effects and their places."""

    def both(inputs: Any) -> Any:  # noqa: ANN401 - tensors
        vectors = network.embed(inputs, training=False)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(vectors)
            state = network.read([vectors, inputs["place"], inputs["steps"]], training=False)
            usual = tf.zeros_like(inputs["statics"]) + network.usual_statics
            log_odds = _log_odds(network.decide([state, usual], training=False))
        logits = network.decide([state, inputs["statics"]], training=False)
        effects = tf.reduce_sum(tape.gradient(log_odds, vectors) * vectors, axis=-1)
        effects = tf.where(inputs["place"] >= 0, effects, 0.0)
        places = tf.math.top_k(tf.abs(effects), MOST).indices
        return logits, tf.gather(effects, places, batch_dims=1), places

    function: Callable[[Any], Any] = tf.function(both, jit_compile=jit, reduce_retracing=not jit)
    return function


def _log_odds(logits: Any) -> Any:  # noqa: ANN401 - tensors
    """Return the log-odds of a purchase within the main horizon, shape (n,)."""
    until = logits[:, : HORIZONS_DAYS.index(MAIN_HORIZON_DAYS) + 1]
    survive = -tf.reduce_sum(tf.nn.softplus(until), axis=1)  # log of no purchase
    return tf.math.log(-tf.math.expm1(tf.minimum(survive, -1e-6))) - survive
