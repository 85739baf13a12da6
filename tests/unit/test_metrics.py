"""Metrics whose arithmetic can be redone by hand."""

import numpy as np
import pytest

from intent_tasks.core.metrics import (
    best_threshold,
    constant_metrics,
    log_losses,
    metrics,
    paired_difference,
    resample_weights,
)

# Highest first: bought, not, bought, not, not
P = np.array([0.9, 0.8, 0.6, 0.3, 0.1])
Y = np.array([1, 0, 1, 0, 0], bool)
WEIGHTS = resample_weights(5, seed=1)


def value_of(name, p=P, y=Y, threshold=0.5):
    return metrics(p, y, threshold, WEIGHTS)[name].value


def test_three_are_predicted_and_two_of_them_buy():
    assert value_of("precision") == pytest.approx(2 / 3)
    assert value_of("recall") == pytest.approx(2 / 2)
    assert value_of("f1") == pytest.approx(2 * 2 / (3 + 2))
    assert value_of("accuracy") == pytest.approx(4 / 5)


def test_auc_is_the_share_of_pairs_in_the_right_order():
    # 0.9 is above all three others, 0.6 above two of them.
    assert value_of("auc") == pytest.approx((3 + 2) / (2 * 3))
    assert value_of("auc", p=np.full(5, 0.5)) == pytest.approx(0.5), "a tie is half a pair"


def test_average_precision_is_the_mean_precision_at_each_buyer():
    assert value_of("average_precision") == pytest.approx((1 / 1 + 2 / 3) / 2)


def test_losses_and_calibration_by_hand():
    expected = -(np.log(0.9) + np.log(0.2) + np.log(0.6) + np.log(0.7) + np.log(0.9)) / 5
    assert value_of("log_loss") == pytest.approx(expected)
    squares = (0.1**2 + 0.8**2 + 0.4**2 + 0.3**2 + 0.1**2) / 5
    assert value_of("brier") == pytest.approx(squares)
    # Every probability is alone in its tenth, so each is as wrong as it is far away.
    assert value_of("calibration_error") == pytest.approx((0.1 + 0.8 + 0.4 + 0.3 + 0.1) / 5)


def test_lift_compares_the_top_tenth_with_all():
    p, y = np.linspace(1, 0, 20), np.arange(20) % 4 == 0
    # Of the two highest one buys; of all 20, five.
    assert metrics(p, y, 0.5, resample_weights(20, 1))["lift_at_10"].value == pytest.approx(
        (1 / 2) / (5 / 20)
    )


def test_what_is_not_defined_is_not_a_number_and_no_error():
    nobody = metrics(P, np.zeros(5, bool), 0.5, WEIGHTS)
    assert all(np.isnan(nobody[name].value) for name in ("auc", "recall", "average_precision"))
    assert nobody["accuracy"].value == pytest.approx(2 / 5)
    empty = metrics(P[:0], Y[:0], 0.5, WEIGHTS[:, :0])
    assert all(np.isnan(estimate.value) for estimate in empty.values())


def test_an_interval_holds_the_value_and_shrinks_with_more_customers():
    rng = np.random.default_rng(3)
    widths = []
    for count in (200, 5000):
        p = rng.random(count)
        found = metrics(p, rng.random(count) < p, 0.5, resample_weights(count, 1))["auc"]
        assert found.low < found.value < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 3


def test_rows_of_one_customer_are_resampled_together():
    rng = np.random.default_rng(3)
    p, y = rng.random(400), rng.random(400) < 0.3
    alone = metrics(p, y, 0.5, resample_weights(400, 1))["log_loss"]
    four_times = metrics(
        np.tile(p, 4), np.tile(y, 4), 0.5, resample_weights(400, 1), np.tile(np.arange(400), 4)
    )["log_loss"]
    assert four_times == pytest.approx(alone)


def test_the_better_model_has_a_difference_above_zero():
    rng = np.random.default_rng(3)
    p = rng.random(2000)
    y = rng.random(2000) < p
    gain = paired_difference(
        log_losses(p, y), log_losses(np.full(2000, 0.5), y), resample_weights(2000, 1)
    )
    assert 0 < gain.low < gain.value < gain.high


def test_the_threshold_is_the_one_with_the_highest_f1():
    assert best_threshold(P, Y) == 0.6
    assert best_threshold(P, np.zeros(5, bool)) == 0.5


def test_the_baseline_predicts_the_same_for_everybody():
    constant = constant_metrics(0.4, Y, threshold=0.5)
    assert constant["accuracy"] == pytest.approx(3 / 5)
    assert constant["auc"] == pytest.approx(0.5)
    assert constant["calibration_error"] == pytest.approx(0.0)
