"""Where a network begins: at trees and line, told of rows by models that have not seen them."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit, logit

from intent_tasks.core.features import FEATURES
from intent_tasks.models import fitting, network, reasons, start
from intent_tasks.models.start import Start
from tests.training.shop import MAIN, line_of

RNG = np.random.default_rng(3)
COUNT = 3000


def drawn(log_odds):
    """Return first horizons of purchases whose hazard in the main interval has these log-odds."""
    within = RNG.random(len(log_odds)) < expit(log_odds)
    return np.where(within, MAIN, len(network.HORIZONS_DAYS)).astype(np.int32)


def test_what_says_the_truth_is_weighed_one_and_what_says_nothing_none():
    truth = RNG.normal(-1, 1, COUNT)
    both = np.stack([truth, RNG.normal(0, 1, COUNT)], axis=1)
    found = start.weights(both, drawn(truth), np.arange(COUNT))[MAIN]
    np.testing.assert_allclose(found, [0, 1, 0], atol=0.12)


def test_a_better_line_is_weighed_more_and_less_so_of_few_customers():
    truth = RNG.normal(-1, 1, COUNT)
    both = np.stack([truth + RNG.normal(0, 2, COUNT), truth], axis=1)
    first = drawn(truth)
    of_many, of_few = (
        start.weights(both, first, who)[MAIN] for who in (np.arange(COUNT), np.arange(COUNT) % 30)
    )
    assert of_many[2] > 0.7
    assert of_few[2] < of_many[2]


@pytest.fixture(scope="module")
def known(trained):
    samples = fitting.Samples()
    samples.add("train", trained.train)
    samples.add("calibrate", trained.later)
    return fitting.fit_baselines(samples, 1)


def test_rows_to_learn_from_are_told_by_models_that_have_not_seen_their_customer(trained, known):
    rows = trained.train
    of_row = start.hashed(rows.encoded) % start.FOLDS
    unseen = known.unseen(rows.encoded)
    for n, without in enumerate(known.unseen.folds):
        ours = of_row == n
        assert ours.any()
        np.testing.assert_array_equal(unseen[ours], without(rows.encoded.features[ours]))
    bought = rows.first <= MAIN
    said = network.probabilities(unseen)[:, MAIN]
    surer = network.probabilities(known.start(rows.encoded.features))[:, MAIN]
    assert surer[bought].mean() - surer[~bought].mean() > said[bought].mean() - said[~bought].mean()


def test_the_start_is_one_curve_near_what_comes_true(trained, known):
    said = network.probabilities(known.start(trained.later.encoded.features))
    assert (np.diff(said, axis=1) > 0).all()
    rates = [(trained.later.first <= n).mean() for n in range(said.shape[1])]
    np.testing.assert_allclose(said.mean(axis=0), rates, rtol=0.35)


def test_reasons_count_what_an_event_does_to_the_start(trained, known):
    built = network.build(trained.model.architecture)
    start.begin(built)
    found = reasons.explain(built, trained.train.encoded, known.start)
    expected = known.start(trained.train.encoded.features)
    np.testing.assert_allclose(found.logits, expected, atol=1e-5)
    assert (np.abs(found.effects[:, 0]) > 0.02).mean() > 0.9
    alone = reasons.explain(built, trained.train.encoded)
    assert not alone.effects.any()


def test_the_slopes_of_a_start_are_those_of_the_line(trained):
    line = line_of(trained.train)
    begun = Start(None, line, np.array([[0, 0.5, 0.25]] * 4))
    assert begun.slopes.shape == (4, len(FEATURES))
    np.testing.assert_allclose(begun.slopes[1], 0.75 * line.slopes)
    np.testing.assert_allclose(begun.scaled(2).slopes, 2 * begun.slopes)


def seen(error, customers, rows=COUNT):
    """Return a later slice of which the network adds what is true, and an error."""
    truth = logit(RNG.beta(1, 4, rows))
    begun = np.full((rows, 4), logit(1e-6))
    added = np.zeros_like(begun)
    begun[:, MAIN], added[:, MAIN] = 0.5 * truth, 0.5 * truth + RNG.normal(0, error, rows)
    return fitting.Later(begun, added, drawn(truth), customers)


def test_what_surely_gains_is_added_and_what_only_errs_is_not():
    assert fitting.surest(seen(0.3, np.arange(COUNT))) > 0.5
    wrong = seen(0, np.arange(COUNT))
    noise = wrong._replace(added=RNG.normal(0, 3, wrong.added.shape))
    assert fitting.surest(noise) == 0


def test_less_is_added_where_the_same_rows_are_of_fewer_customers():
    one = seen(1.0, np.arange(200), 200)
    many, few = (
        fitting.surest(fitting.Later(*(np.repeat(v, 5, axis=0) for v in one[:3]), customers))
        for customers in (np.arange(1000), np.repeat(np.arange(200), 5))
    )
    assert few < many


def test_a_customer_is_in_one_part_for_good():
    keys = [f"k{n}" for n in range(500)]
    one = SimpleNamespace(events=SimpleNamespace(keys=keys), customers=np.arange(500))
    other = SimpleNamespace(events=SimpleNamespace(keys=keys[::-1]), customers=np.arange(500))
    np.testing.assert_array_equal(start.hashed(one), start.hashed(other)[::-1])
    shares = np.bincount(start.hashed(one) % start.FOLDS) / 500
    np.testing.assert_allclose(shares, 1 / start.FOLDS, atol=0.06)
