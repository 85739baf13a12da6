"""Which events moved a score most, in the same pass that computes the score.

An event moves a score in two ways, and its effect is the sum of both. Through the encoder: the
gradient of the log-odds by its vector, times that vector, is what taking the vector away would
change, to first order. Through the hand-made features, which the same events make: the gradient by
the features, times what they would lose without the event, which is known in closed form
(`core/ablation.py`). It costs one step back through the network, not one scoring for each event.
Source: Shrikumar, Greenside & Kundaje 2017, "Learning important features through propagating
activation differences", section 2.2 (gradient × input).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from intent_tasks.core import ablation
from intent_tasks.core.encoding import NOTHING, Encoded
from intent_tasks.core.features import STATICS, Slopes
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models.batches import batches
from intent_tasks.models.network import Network, graph
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
        stage: the likeliest stage, places in `STAGES`, shape (n,).
    """

    logits: npt.NDArray[np.float32]
    rows: npt.NDArray[np.int64]
    effects: npt.NDArray[np.float32]
    stage: npt.NDArray[np.int64]


def explain(network: Network, encoded: Encoded) -> Explained:
    """Score n customers and say which events moved each score most.

    Args:
        network: trained.
        encoded: the customers.
    """
    count = len(encoded.customers)
    logits = np.empty((count, len(HORIZONS_DAYS)), np.float32)
    slopes = np.zeros((count, len(STATICS)), np.float32)
    effects, stage = np.zeros(len(encoded.place)), np.zeros(count, np.int64)
    both = _both(network, count >= JIT_ROWS)
    for chosen, real, inputs in batches(encoded, network.size, PREDICTED):
        chosen = chosen[:real]
        *said, read = (np.asarray(values) for values in both(inputs))
        logits[chosen], stage[chosen], slopes[chosen] = (values[:real] for values in said)
        index, _ = encoded.read(chosen, network.size.events, inputs["steps"].shape[1])
        effects[index] = read[: len(index)]
    effects += ablation.effects(encoded.past, Slopes(slopes))
    return Explained(logits, *_strongest(encoded, effects, network.size.events), stage)


def _strongest(
    encoded: Encoded, effects: npt.NDArray[np.float64], read: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Return rows and effects of the strongest of the events read, shape (n, MOST) each."""
    count = len(encoded.customers)
    rows, strongest = np.full((count, MOST), NOTHING), np.zeros((count, MOST), np.float32)
    for begin in range(0, count, PREDICTED):
        chosen = np.arange(begin, min(begin + PREDICTED, count))
        length = max(MOST, min(read, int(encoded.event_count[chosen].max())))
        place, there = encoded.latest(chosen, length)
        effect = np.where(there, effects[place], 0)
        kept = np.argpartition(-np.abs(effect), MOST - 1, axis=1)[:, :MOST]
        found = np.take_along_axis(effect, kept, axis=1)
        order = np.argsort(-np.abs(found), axis=1, kind="stable")
        place, there, effect = (
            np.take_along_axis(np.take_along_axis(v, kept, axis=1), order, axis=1)
            for v in (place, there, effect)
        )
        rows[chosen] = np.where(there, encoded.events.row[encoded.place[place]], NOTHING)
        strongest[chosen] = effect
    return rows, strongest


@lru_cache(maxsize=2)
def _both(network: Network, jit: bool) -> Callable[[Any], Any]:
    """Return the function from inputs to logits, stage, slopes of features, effects of vectors."""

    def both(inputs: Any) -> Any:  # noqa: ANN401 - tensors
        vectors, statics = network.embed(inputs, training=False), inputs["statics"]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([vectors, statics])
            state = network.read([vectors, inputs["place"], inputs["steps"]], training=False)
            logits = network.decide([state, statics], training=False)
            log_odds = _log_odds(logits)
        stage = tf.argmax(network.stage([state, statics], training=False), axis=1)
        by_vectors, by_statics = tape.gradient(log_odds, [vectors, statics])
        effects = tf.reduce_sum(tf.cast(by_vectors * vectors, tf.float32), axis=-1)
        return logits, stage, by_statics, effects

    function: Callable[[Any], Any] = graph(both, jit)
    return function


def _log_odds(logits: Any) -> Any:  # noqa: ANN401 - tensors
    """Return the log-odds of a purchase within the main horizon, shape (n,)."""
    until = logits[:, : HORIZONS_DAYS.index(MAIN_HORIZON_DAYS) + 1]
    survive = -tf.reduce_sum(tf.nn.softplus(until), axis=1)  # log of no purchase
    return tf.math.log(-tf.math.expm1(tf.minimum(survive, -1e-6))) - survive
