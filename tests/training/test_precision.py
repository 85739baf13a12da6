"""Mixed precision and determinism, each switched on and off."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from intent_tasks.models import hazards, network, training
from intent_tasks.models.network import Architecture
from intent_tasks.models.sizes import Size
from tests.training import shop

SIZE = Size(16, 8, 32, 1)


@pytest.fixture(scope="module")
def learned():
    """Rows, and the architectures of a transformer in full and in mixed precision."""
    network.deterministic(shop.SEED)
    rows, vocabulary = shop.rows_and_vocabulary(400)
    full = shop.architecture_of(vocabulary, "transformer", SIZE)
    return rows, full, Architecture(**{**vars(full), "mixed_precision": True})


def test_mixed_precision_predicts_nearly_the_same_and_keeps_weights_in_full(learned):
    rows, full, mixed = learned
    one, other = network.build(full), network.build(mixed)
    assert keras.config.dtype_policy().name == "float32", "only this network is mixed"
    other.everything.set_weights(one.everything.get_weights())
    assert {w.dtype for w in other.everything.get_weights()} == {np.dtype("float32")}
    computed = {layer.compute_dtype for layer in other.read.layers}
    assert "bfloat16" in computed, "nothing is computed in half precision"
    inputs = rows.encoded.batch(np.arange(64), SIZE.events, SIZE.steps)
    logits = [built.whole(inputs) for built in (one, other)]
    assert logits[1].dtype == "float32"
    assert hazards.hazard_loss(rows.first_purchase[:64], logits[1]).dtype == "float32"
    difference = np.abs(np.asarray(logits[0]) - np.asarray(logits[1]))
    assert 0 < difference.max() < 0.05


def test_a_network_in_mixed_precision_learns(learned):
    rows, _, mixed = learned
    built = network.build(mixed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EPOCHS", 4)
        patch.setattr(training, "MIN_STEPS", 1)
        plan = training.Plan(len(rows.first_purchase), shop.SEED, learning_rate=1e-2, batch=50)
        curve = training.fit(built, shop.source(rows), shop.source(rows), plan)
    assert curve[-1]["loss"] < curve[0]["loss"]


@pytest.mark.parametrize("exactly", [True, False])
def test_determinism_is_switched_on_and_off(monkeypatch, exactly):
    calls = []
    threads = tf.config.threading
    for place, name in (
        (tf.config.experimental, "enable_op_determinism"),
        (threads, "set_intra_op_parallelism_threads"),
        (threads, "set_inter_op_parallelism_threads"),
    ):
        monkeypatch.setattr(place, name, lambda *_, name=name: calls.append(name))
    network.deterministic(3, exactly)
    drawn = np.asarray(tf.random.uniform((3,)))
    network.deterministic(3, exactly)
    np.testing.assert_array_equal(np.asarray(tf.random.uniform((3,))), drawn)
    assert len(calls) == (6 if exactly else 0)
