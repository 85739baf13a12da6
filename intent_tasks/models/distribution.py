"""Training on several devices or machines: the strategy, and the rows of each replica.

For several machines, start the same step on each, with TensorFlow's variable TF_CONFIG that lists
all workers and names this one. Each worker learns from its share of every batch and gradients are
summed, so the losses equal those of one machine.
"""

import json
import os
from functools import cache
from typing import Any

import tensorflow as tf

from intent_tasks.core.encoding import of_every
from intent_tasks.errors import BadInput
from intent_tasks.models.input_pipeline import TrainingBatch

VARIABLE = "TF_CONFIG"


def rank() -> int:
    """Return the number of this worker; worker 0 saves the model.

    Raises:
        BadInput: TF_CONFIG is malformed.
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
    """Return the strategy of this process: several workers, all its GPUs, or a single device.

    One for the whole process, created before anything is computed: TensorFlow requires it.
    """
    rank()
    if os.environ.get(VARIABLE):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def split_batch(batch: TrainingBatch, replicas: int) -> Any:  # noqa: ANN401 - TensorFlow's per-replica value
    """Return each replica's share of a batch: every `replicas`-th row.

    Args:
        batch: the number of its rows is a multiple of `replicas`.
        replicas: number of replicas of all workers.
    """

    def share(context: Any) -> TrainingBatch:  # noqa: ANN401 - TensorFlow's
        own = context.replica_id_in_sync_group
        every = slice(own, None, replicas)
        return TrainingBatch(
            of_every(batch.inputs, own, replicas),
            batch.first_purchase[every],
            batch.teacher[every],
            batch.weight[every],
        )

    return tf.distribute.get_strategy().experimental_distribute_values_from_function(share)
