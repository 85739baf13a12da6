"""Training on several devices or machines: which strategy, and which rows are whose.

Several machines: start the same step on each, with TensorFlow's own variable TF_CONFIG that names
all workers and which of them this one is. Each learns from its share of every batch, and gradients
are added up, so that the losses are those of one machine.
"""

import json
import os
from functools import cache
from typing import Any

import tensorflow as tf

from intent_tasks.core.encoding import of_every
from intent_tasks.errors import BadInput
from intent_tasks.models.input_pipeline import Lesson

VARIABLE = "TF_CONFIG"


def rank() -> int:
    """Return the number of this worker; 0 keeps what is learned.

    Raises:
        BadInput: TF_CONFIG is not as TensorFlow wants it.
    """
    try:
        config = json.loads(os.environ.get(VARIABLE, "{}"))
        return int(config["task"]["index"]) if config else 0
    except (ValueError, KeyError, TypeError):
        raise BadInput(
            f'{VARIABLE} must look like {{"cluster": {{"worker": ["host:port", …]}}, '
            '"task": {"type": "worker", "index": 0}}; unset it to train on one machine.'
        ) from None


@cache
def strategy() -> tf.distribute.Strategy:
    """Return how this process trains: with other workers, on all of its GPUs, or by itself.

    One for the whole process: TensorFlow wants to know of other workers before it computes.
    """
    rank()
    if os.environ.get(VARIABLE):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def divided(lesson: Lesson, replicas: int) -> Any:  # noqa: ANN401 - a lesson of each replica
    """Return for each replica its share of a batch: every so-manieth row and their events.

    Args:
        lesson: a multiple of `replicas` rows.
        replicas: of all workers together.
    """

    def share(context: Any) -> Lesson:  # noqa: ANN401 - TensorFlow's
        own = context.replica_id_in_sync_group
        every = slice(own, None, replicas)
        first, taught, weight = lesson.first[every], lesson.taught[every], lesson.weight[every]
        return Lesson(of_every(lesson.inputs, own, replicas), first, taught, weight)

    return tf.distribute.get_strategy().experimental_distribute_values_from_function(share)
