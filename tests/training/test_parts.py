"""The layers that Keras does not have."""

import numpy as np
import pytest
import tensorflow as tf

from intent_tasks.models import network
from intent_tasks.models.parts import DaySums, Dropout
from tests.training.shop import SEED


@pytest.mark.parametrize("jit", [False, True])
def test_dropout_takes_a_tenth_and_what_stays_makes_up_for_it(jit):
    network.deterministic(SEED)
    layer, ones = Dropout(0.1), np.ones((400, 50), np.float32)
    learned = tf.function(lambda values: layer(values, training=True), jit_compile=jit)
    first, second = (np.asarray(learned(ones)) for _ in range(2))
    assert (first != second).any(), "the same places each time"
    assert (first == 0).mean() == pytest.approx(0.1, abs=0.01)
    np.testing.assert_allclose(first[first != 0], 1 / 0.9, rtol=1e-6)
    np.testing.assert_array_equal(layer(ones, training=False), ones)


def test_events_are_added_up_by_customer_and_day_but_for_those_without_a_place():
    vectors = np.array([[1.0], [2.0], [4.0], [8.0]], np.float32)
    steps = np.zeros((2, 2, 1), np.float32)
    sums = np.asarray(DaySums()(vectors, np.array([1, 1, 2, -1]), steps))[:, :, 0]
    np.testing.assert_allclose(np.expm1(sums), [[0, 3], [4, 0]], atol=1e-6)
