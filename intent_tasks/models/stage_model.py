"""The stage head: a multinomial logistic regression on the trained network.

Its inputs are the last layer, the hand-made features and the logits of the ensemble. It is fitted
after the network, as calibration is: its loss needs no weight, and the probabilities of a purchase
do not depend on it.
"""

import keras
import numpy as np
import tensorflow as tf
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from intent_tasks.core.arrays import Float32Array, Int32Array
from intent_tasks.core.encoding import Encoded
from intent_tasks.definition import STAGES
from intent_tasks.models.batches import batches
from intent_tasks.models.network import Network, graph
from intent_tasks.models.training import PREDICTION_ROWS, RowSource

MAX_ROWS = 60_000
"""Maximum number of training rows; every second row is dropped until they fit."""
REGULARIZATION = 15.0
"""`C` times the number of rows, with the lowest loss on the calibration split of the simulated
shop."""


def fit(network: Network, source: RowSource) -> None:
    """Fit the head on rows with a known stage; without such rows it stays as it is.

    Args:
        network: trained; only the layer of the stages is changed.
        source: rows of the training split.
    """
    inputs: list[Float32Array] = []
    stage: list[Int32Array] = []
    stride = 1
    for rows in source(0, 0):
        if rows.stage is None:
            return
        inputs.append(_outputs(network, rows.encoded, _stage_input(network))[::stride])
        stage.append(rows.stage[::stride])
        while sum(map(len, stage)) > MAX_ROWS:
            inputs, stage = [np.concatenate(inputs)[::2]], [np.concatenate(stage)[::2]]
            stride *= 2
    weights = multinomial_regression(np.concatenate(inputs), np.concatenate(stage))
    network.stage_head.get_layer("stage").set_weights(weights)


def multinomial_regression(
    inputs: Float32Array, stage: Int32Array
) -> tuple[Float32Array, Float32Array]:
    """Fit a multinomial logistic regression and return coefficients and intercepts.

    Args:
        inputs: shape (n, width).
        stage: indices in `STAGES`, shape (n,).

    Returns:
        Shapes (width, stages) and (stages,). A stage without rows has UNSEEN_LOG_ODDS.
    """
    coefficients = np.zeros((inputs.shape[1], len(STAGES)), np.float32)
    intercepts = np.full(len(STAGES), UNSEEN_LOG_ODDS, np.float32)
    present = np.unique(stage)
    if len(present) == 1:
        intercepts[present] = 0
        return coefficients, intercepts
    scaler = StandardScaler().fit(inputs)
    result = LogisticRegression(C=REGULARIZATION / len(stage), max_iter=300)
    result.fit(scaler.transform(inputs), stage)
    both = len(present) == 2  # scikit-learn returns one row for two stages
    raw_coefficients = np.stack([-result.coef_[0], result.coef_[0]]) / 2 if both else result.coef_
    raw_intercepts = np.array([-1, 1]) * result.intercept_ / 2 if both else result.intercept_
    coefficients[:, present] = (raw_coefficients / scaler.scale_).T
    intercepts[present] = raw_intercepts - (raw_coefficients / scaler.scale_) @ scaler.mean_
    return coefficients, intercepts


UNSEEN_LOG_ODDS = -20.0
"""Log-odds of a stage without training rows."""


def probabilities(network: Network, encoded: Encoded) -> Float32Array:
    """Return the probability of each stage, shape (n, stages)."""
    logits = _outputs(network, encoded, network.stage_head)
    return np.asarray(tf.nn.softmax(logits))


def _stage_input(network: Network) -> keras.Model:
    """Return a model that outputs the inputs of the stage layer."""
    # `network.py` explains why the layer keeps its name.
    head = network.stage_head
    return keras.Model(head.inputs, head.get_layer("told").output)


def _outputs(network: Network, encoded: Encoded, head: keras.Model) -> Float32Array:
    """Return the output of a head for each customer, shape (n, width of the head)."""

    def output(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        vectors = network.embed(inputs, training=False)
        state = network.read([vectors, inputs["place"], inputs["steps"]], training=False)
        return head([state, inputs["features"]], training=False)

    function = graph(output, jit=False)
    result = np.empty((len(encoded.customers), head.output_shape[-1]), np.float32)
    for chosen, real, inputs in batches(encoded, network.size, PREDICTION_ROWS):
        result[chosen[:real]] = np.asarray(function(inputs))[:real]
    return result
