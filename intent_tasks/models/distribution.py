"""Training on several devices or machines: which strategy, and which rows are whose.

Several machines: start the same step on each, with TensorFlow's own variable TF_CONFIG that names
all workers and which of them this one is. Each learns from its share of every batch, and gradients
are added up, so that the losses are those of one machine.
"""

import json
import os
from typing import Any

import tensorflow as tf

from intent_tasks.errors import BadInput

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


def strategy() -> tf.distribute.Strategy:
    """Return how this process trains: with other workers, on all of its GPUs, or by itself."""
    rank()
    if os.environ.get(VARIABLE):
        return tf.distribute.MultiWorkerMirroredStrategy()
    if len(tf.config.list_logical_devices("GPU")) > 1:
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def divided(batch: Any, replicas: int) -> Any:  # noqa: ANN401 - nested tensors
    """Return for each replica its share of a batch: every so-manieth row.

    Args:
        batch: nested tensors of one first dimension, a multiple of `replicas`.
        replicas: of all workers together.
    """

    def share(context: Any) -> Any:  # noqa: ANN401 - nested tensors
        own = context.replica_id_in_sync_group
        return tf.nest.map_structure(lambda values: values[own::replicas], batch)

    return tf.distribute.get_strategy().experimental_distribute_values_from_function(share)
