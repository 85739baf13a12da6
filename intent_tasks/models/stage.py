"""The stage of a customer, read off what the network knows for the purchase once it has learned.

The head is a multinomial logistic regression on the last layer, the hand-made features and what the
panel says of a purchase. It is fitted after the network, as calibration is, and not beside it: no
weight of its loss has to be balanced, and the probabilities of a purchase are the same with it as
without.
"""

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from intent_tasks.core.encoding import Encoded
from intent_tasks.definition import STAGES
from intent_tasks.models.batches import batches
from intent_tasks.models.network import Network, graph
from intent_tasks.models.training import PREDICTED, Source

Floats = npt.NDArray[np.float32]

MOST_ROWS = 60_000
"""Rows that the head learns from; of more, every second goes until they are so few."""
STRENGTH = 15.0
"""Inverse of the pull of the weights to zero, times the rows; chosen where the loss on the slice
that calibrates was least, on the simulated shop."""


def fit(network: Network, source: Source) -> None:
    """Fit the head on rows whose stage is known; without such rows it stays as it is.

    Args:
        network: trained; only the layer of the stages is changed.
        source: the training slice.
    """
    told: list[Floats] = []
    stage: list[npt.NDArray[np.int32]] = []
    stride = 1
    for rows in source(0, 0):
        if rows.stage is None:
            return
        told.append(_of_each(network, rows.encoded, _before(network))[::stride])
        stage.append(rows.stage[::stride])
        while sum(map(len, stage)) > MOST_ROWS:
            told, stage = [np.concatenate(told)[::2]], [np.concatenate(stage)[::2]]
            stride *= 2
    weights = line(np.concatenate(told), np.concatenate(stage))
    network.stage.get_layer("stage").set_weights(weights)


def line(told: Floats, stage: npt.NDArray[np.int32]) -> tuple[Floats, Floats]:
    """Return slopes and shifts of a multinomial logistic regression.

    Args:
        told: what is known, shape (n, width).
        stage: places in `STAGES`, shape (n,).

    Returns:
        Shapes (width, stages) and (stages,): a stage that nobody was in is as unlikely as can be.
    """
    slopes = np.zeros((told.shape[1], len(STAGES)), np.float32)
    shifts = np.full(len(STAGES), NEVER, np.float32)
    there = np.unique(stage)
    if len(there) == 1:
        shifts[there] = 0
        return slopes, shifts
    scaler = StandardScaler().fit(told)
    found = LogisticRegression(C=STRENGTH / len(stage), max_iter=300)
    found.fit(scaler.transform(told), stage)
    both = len(there) == 2  # one line for two stages: the other one is its opposite
    coefficients = np.stack([-found.coef_[0], found.coef_[0]]) / 2 if both else found.coef_
    intercepts = np.array([-1, 1]) * found.intercept_ / 2 if both else found.intercept_
    slopes[:, there] = (coefficients / scaler.scale_).T
    shifts[there] = intercepts - (coefficients / scaler.scale_) @ scaler.mean_
    return slopes, shifts


NEVER = -20.0
"""Log-odds of a stage that nobody was in."""


def probabilities(network: Network, encoded: Encoded) -> Floats:
    """Return how likely each stage is, shape (n, stages)."""
    logits = _of_each(network, encoded, network.stage)
    return np.asarray(tf.nn.softmax(logits))


def _before(network: Network) -> keras.Model:
    """Return what the layer of the stages reads, as a head of its own."""
    return keras.Model(network.stage.inputs, network.stage.get_layer("told").output)


def _of_each(network: Network, encoded: Encoded, head: keras.Model) -> Floats:
    """Return what a head says of each customer, shape (n, width of the head)."""

    def said(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        vectors = network.embed(inputs, training=False)
        state = network.read([vectors, inputs["place"], inputs["steps"]], training=False)
        return head([state, inputs["statics"]], training=False)

    function = graph(said, jit=False)
    found = np.empty((len(encoded.customers), head.output_shape[-1]), np.float32)
    for chosen, real, inputs in batches(encoded, network.size, PREDICTED):
        found[chosen[:real]] = np.asarray(function(inputs))[:real]
    return found
