"""Attribution of a prediction to events, in the pass that computes the prediction.

The effect of an event on a score is a sum of two parts. Through the encoder: the gradient of the
log-odds by the event's vector, times the vector, approximates the effect of removing the vector.
Through the hand-made features: the gradient by the features, times what they lose without the
event, which has a closed form (`core/ablation.py`). Both cost one backward pass, instead of one
prediction for each event.
Source: Shrikumar, Greenside & Kundaje 2017, "Learning important features through propagating
activation differences", section 2.2 (gradient × input).
"""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from intent_tasks.core import ablation
from intent_tasks.core.arrays import Float32Array, Float64Array, Int64Array
from intent_tasks.core.encoding import Encoded
from intent_tasks.core.features import FEATURES, FeatureGradients
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models.batches import batches
from intent_tasks.models.hazards import log_probabilities
from intent_tasks.models.network import Network, graph
from intent_tasks.models.tensors import Inputs, Tensor
from intent_tasks.models.training import JIT_ROWS, PREDICTION_ROWS

NO_EVENT = -1
"""Row of a missing event."""
MAX_EVENTS = 8
"""Number of returned events of a customer: more than are shown, because duplicates are dropped."""


class Explained(NamedTuple):
    """Predictions with the events that changed them most.

    Args:
        logits: logits of the hazards, shape (n, horizons).
        rows: rows of the events in their table, strongest first, -1 for none; (n, MAX_EVENTS).
        effects: change of the log-odds at the main horizon by each event, same shape.
        stage: the most probable stage, indices in `STAGES`, shape (n,).
    """

    logits: Float32Array
    rows: Int64Array
    effects: Float32Array
    stage: Int64Array


def explain(network: Network, encoded: Encoded) -> Explained:
    """Predict n customers and return the events with the largest effect on each prediction.

    Args:
        network: trained.
        encoded: the customers.
    """
    count = len(encoded.customers)
    logits = np.empty((count, len(HORIZONS_DAYS)), np.float32)
    gradients = np.zeros((count, len(FEATURES)), np.float32)
    effects, stage = np.zeros(len(encoded.place)), np.zeros(count, np.int64)
    explain_batch = _explain_batch(network, count >= JIT_ROWS)
    for chosen, real, inputs in batches(encoded, network.size, PREDICTION_ROWS):
        chosen = chosen[:real]
        *by_row, by_event = (np.asarray(values) for values in explain_batch(inputs))
        logits[chosen], stage[chosen], gradients[chosen] = (values[:real] for values in by_row)
        index, _ = encoded.read(chosen, network.size.events, inputs["steps"].shape[1])
        effects[index] = by_event[: len(index)]
    effects += ablation.event_effects(encoded.customer_events, FeatureGradients(gradients))
    return Explained(logits, *_strongest(encoded, effects, network.size.events), stage)


def _strongest(
    encoded: Encoded, effects: Float64Array, max_events: int
) -> tuple[Int64Array, Float32Array]:
    """Return rows and effects of the strongest of the latest events, (n, MAX_EVENTS) each."""
    count = len(encoded.customers)
    rows = np.full((count, MAX_EVENTS), NO_EVENT)
    strongest = np.zeros((count, MAX_EVENTS), np.float32)
    for start in range(0, count, PREDICTION_ROWS):
        chosen = np.arange(start, min(start + PREDICTION_ROWS, count))
        length = max(MAX_EVENTS, min(max_events, int(encoded.event_count[chosen].max())))
        index, present = encoded.latest(chosen, length)
        effect = np.where(present, effects[index], 0)
        top = np.argpartition(-np.abs(effect), MAX_EVENTS - 1, axis=1)[:, :MAX_EVENTS]
        order = np.argsort(-np.abs(np.take_along_axis(effect, top, axis=1)), axis=1, kind="stable")
        top = np.take_along_axis(top, order, axis=1)
        index, present, effect = (
            np.take_along_axis(values, top, axis=1) for values in (index, present, effect)
        )
        rows[chosen] = np.where(present, encoded.events.row[encoded.place[index]], NO_EVENT)
        strongest[chosen] = effect
    return rows, strongest


@lru_cache(maxsize=2)
def _explain_batch(network: Network, jit: bool) -> Callable[[Inputs], Any]:
    """Return a function from inputs to logits, stage, feature gradients and event effects."""

    def explain_batch(inputs: Inputs) -> tuple[Tensor, ...]:
        vectors, features = network.embed(inputs, training=False), inputs["features"]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([vectors, features])
            state = network.read([vectors, inputs["place"], inputs["steps"]], training=False)
            logits = network.hazard_head([state, features], training=False)
            some, none = log_probabilities(logits)
            log_odds = some - none
        stage = tf.argmax(network.stage_head([state, features], training=False), axis=1)
        by_vectors, by_features = tape.gradient(log_odds, [vectors, features])
        effects = tf.reduce_sum(tf.cast(by_vectors * vectors, tf.float32), axis=-1)
        return logits, stage, by_features, effects

    function: Callable[[Inputs], Any] = graph(explain_batch, jit)
    return function
