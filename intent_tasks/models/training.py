"""Fit the network, then its calibration on a later slice of time."""

from typing import Any

import keras
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models.network import Network, hazard_loss

BATCH = 512
LEARNING_RATE = 2e-3
EPOCHS, STEPS = 8, 300
"""Most passes over the training slice, more where it is small, so that they are as many steps as
this; the step size falls to zero over all of them."""
PATIENCE = 2
"""Passes without a gain on a later slice after which the best weights are taken: days repeat their
customers, and a network that goes on learns those by heart."""

Inputs = dict[str, npt.NDArray[Any]]


def fit(
    network: Network,
    inputs: Inputs,
    first: npt.NDArray[np.int32],
    later: tuple[Inputs, npt.NDArray[np.int32]],
    seed: int,
) -> list[float]:
    """Fit the weights, and keep those that say most of a later slice of time.

    Returns the mean loss of each epoch on the training slice.

    Args:
        network: built, with fresh weights; changed in place.
        inputs: arrays of the training slice.
        first: horizon of the first purchase of each row, shape (n,).
        later: inputs and first purchases of days after a gap.
        seed: of the order of the rows.
    """
    count = len(first)
    order = np.random.default_rng(seed).permutation(count)
    batches = max(1, -(-count // BATCH))
    epochs = max(EPOCHS, STEPS // batches)
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(LEARNING_RATE, batches * epochs), weight_decay=1e-2
    )
    network.whole.compile(optimizer=optimizer, loss=hazard_loss)
    mixed = {name: values[order] for name, values in inputs.items()}
    stop = keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)
    fitted = network.whole.fit(
        mixed,
        first[order],
        batch_size=BATCH,
        epochs=epochs,
        validation_data=later,
        validation_batch_size=4 * BATCH,
        callbacks=[stop],
        verbose=0,
    )
    return [float(loss) for loss in fitted.history["loss"]]


def calibrate(network: Network, inputs: Inputs, first: npt.NDArray[np.int32]) -> None:
    """Fit scale and shift of the logits on a later slice; the rest of the network stays."""
    logits = logits_of(network, inputs).astype(np.float64)
    intervals = np.arange(len(HORIZONS_DAYS))[None, :]
    happened = intervals == first[:, None]
    at_risk = intervals <= first[:, None]

    def loss(weights: npt.NDArray[np.float64]) -> float:
        z = logits * np.exp(weights[0]) + weights[1:]
        each = np.logaddexp(0.0, z) - happened * z
        # The pull to no change: a few days tell more of themselves than of the days to come.
        return float((each * at_risk).sum() / len(first) + 1e-2 * (weights**2).sum())

    found = minimize(loss, np.zeros(1 + logits.shape[1]), method="L-BFGS-B").x
    network.calibration.set_weights([np.exp(found[:1]), found[1:]])


def logits_of(network: Network, inputs: Inputs) -> npt.NDArray[np.float32]:
    """Return the logits of the hazards, shape (n, horizons)."""
    if len(inputs["statics"]) == 0:
        return np.empty((0, len(HORIZONS_DAYS)), np.float32)
    return np.asarray(network.whole.predict(inputs, batch_size=2048, verbose=0), np.float32)
