"""The layers of the network that Keras does not have."""

import numpy as np
import pytest
import tensorflow as tf

from intent_tasks.models import network
from intent_tasks.models.layers import DaySums, Dropout, QuantileRanks
from tests.training.shop import SEED


@pytest.mark.parametrize("jit", [False, True])
def test_dropout_drops_a_tenth_and_scales_the_rest(jit):
    network.deterministic(SEED)
    layer, ones = Dropout(0.1), np.ones((400, 50), np.float32)
    learned = tf.function(lambda values: layer(values, training=True), jit_compile=jit)
    first, second = (np.asarray(learned(ones)) for _ in range(2))
    assert (first != second).any(), "each call drops the same values"
    assert (first == 0).mean() == pytest.approx(0.1, abs=0.01)
    np.testing.assert_allclose(first[first != 0], 1 / 0.9, rtol=1e-6)
    np.testing.assert_array_equal(layer(ones, training=False), ones)


def test_events_are_summed_by_customer_and_day_without_padding():
    vectors = np.array([[1.0], [2.0], [4.0], [8.0]], np.float32)
    steps = np.zeros((2, 2, 1), np.float32)
    sums = np.asarray(DaySums()(vectors, np.array([1, 1, 2, -1]), steps))[:, :, 0]
    np.testing.assert_allclose(np.expm1(sums), [[0, 3], [4, 0]], atol=1e-6)


def ranks_of(features):
    layer = QuantileRanks()
    layer.build((None, features.shape[1]))
    layer.set_weights(QuantileRanks.weights_of(features))
    return layer


def test_ranks_are_standardised_and_end_at_the_extremes():
    features = np.random.default_rng(SEED).lognormal(0, 2, (5000, 2)).astype(np.float32)
    layer = ranks_of(features)
    got = np.asarray(layer(features))
    np.testing.assert_allclose(got.mean(axis=0), 0, atol=0.05)
    np.testing.assert_allclose(got.std(axis=0), 1, atol=0.05)
    in_order = np.argsort(features[:, 0])
    assert (np.diff(got[in_order, 0]) >= 0).all()
    ends = np.asarray(layer(np.array([[-1e6, 1e6], [np.nan, 1.0]], np.float32)))
    np.testing.assert_allclose(ends[0], [got[:, 0].min(), got[:, 1].max()], atol=1e-5)
    assert np.isnan(ends[1, 0]), "NaN must not become the lowest rank"


def test_equal_values_share_the_middle_rank_and_a_constant_has_rank_0():
    features = np.array([[0, 5]] * 75 + [[1, 5]] * 25, np.float32)
    got = np.asarray(ranks_of(features)(np.array([[0, 5], [1, 9]], np.float32)))
    middle = np.array([4 / 2, (5 + 8) / 2]) / 8  # of nine points five are 0, and four are 1
    assert got[1, 0] - got[0, 0] == pytest.approx((middle[1] - middle[0]) * np.sqrt(12))
    assert 0.75 * got[0, 0] + 0.25 * got[1, 0] == pytest.approx(0, abs=1e-6), "of mean 0"
    np.testing.assert_array_equal(got[:, 1], [0, 0])


def test_a_frequent_zero_takes_one_eighth_of_the_ranks():
    some = np.random.default_rng(SEED).lognormal(0, 2, 100).astype(np.float32)
    features = np.concatenate([np.zeros(9900, np.float32), some])[:, None]
    layer = ranks_of(features)
    got = np.asarray(layer(features))
    few, median, most = (np.asarray(layer(np.quantile(some, q).reshape(1, 1)))[0, 0]
                         for q in (0, 0.5, 1))  # fmt: skip
    nothing, part = got[0, 0], np.sqrt(12) / 8
    assert median - nothing == pytest.approx(4 * part, abs=1.1 * part), "half of the other values"
    assert most - median == pytest.approx(3.5 * part, abs=0.6 * part)
    assert nothing < few < median
    assert got.mean() == pytest.approx(0, abs=1e-4)


def test_the_gradient_is_the_mean_slope_at_every_value():
    features = np.repeat(np.array([0, 1, 1, 1, 4, 4, 4, 8, 8], np.float32)[:, None], 9, axis=0)
    layer, at = ranks_of(features), tf.constant([[-3.0], [1.0], [4.5], [99.0]])
    with tf.GradientTape() as tape:
        tape.watch(at)
        doubled = 2 * layer(at)
    ends = np.asarray(layer(np.array([[0.0], [8.0]], np.float32)))[:, 0]
    np.testing.assert_allclose(tape.gradient(doubled, at), np.full((4, 1), 2 * np.ptp(ends) / 8))
