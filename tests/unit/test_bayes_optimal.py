"""The exact probability of a purchase: against enumeration of all hidden paths, and calibrated."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.simulator import Config, customers, rates, simulate
from intent_tasks.simulator.bayes_optimal import probabilities
from intent_tasks.simulator.config import BROWSING, DORMANT, READY, SATED
from intent_tasks.simulator.observed import Observed, observe
from intent_tasks.simulator.process import BAD, CART, GOOD, KINDS, PURCHASE, REFUND
from intent_tasks.simulator.shop import block_of_days

TINY = Config(
    customers=500,
    days=6,
    type_shares=(0.6, 0.4),
    type_activity=(0.8, 2.0),
    buy=(0.4, 0.6),
    wake=0.5,
    moves=((0.1, 0.0, 0.3, 0.3), (0.1, 0.1, 0.0, 0.5), (0.1, 0.1, 0.1, 0.0)),
    sessions=(0.2, 0.8, 1.0, 1.5, 1.2),
    review=0.4,
    bad_review=0.5,
    refund=0.3,
    known_before=0.5,
    prices=((1, 3, 0.6, 0.9), (3, 100, 1.5, 1.5)),
    price_response=(0.5, 1.0, 0.8),
    coupon=((2, 5, 1.6),),
    coupon_response=(0.3, 0.7, 1.0),
)
LEVELS = (1.0, 0.6, 0.9, 1.5, 1.5, 1.5, 1.5, 1.5, 1.5)
"""Of prices on each day of `TINY` and after."""


def factor(config: Config, day: int, of: int) -> float:
    """Return the factor of price level and coupon on waking up, moves to ready, or buying."""
    given = 1.6 if 2 <= day < 5 else 1.0
    return LEVELS[day] ** -config.price_response[of] * given ** config.coupon_response[of]


def poisson(count: int, mean: float) -> float:
    return math.exp(-mean) * mean**count / math.factorial(count)


def negative_multinomial(counts: list[int], means: list[float], config: Config) -> float:
    """Return the probability of Poisson counts whose means share a gamma factor of mean 1."""
    shape, total, mean = config.engagement, sum(counts), sum(means)
    stop = shape / (shape + mean)
    likely = math.gamma(shape + total) / math.gamma(shape) * stop**shape * (1 - stop) ** total
    for count, part in zip(counts, means, strict=True):
        likely *= (part / mean) ** count / math.factorial(count)
    return likely


def day_likelihood(config: Config, day: int, kind: int, state: int, sessions: int, counts) -> float:
    """Return the probability of all that a day shows, from the definition, one number at a time."""
    mean = config.day_factors[day] * config.type_activity[kind] ** 0.5 * config.sessions[state]
    likely = poisson(sessions, mean)
    if sessions == 0:
        return likely
    bought, good, bad, refunded = (counts[k] for k in (PURCHASE, GOOD, BAD, REFUND))
    held = [int(counts[k]) - int(bought) * (k == CART) for k in range(len(config.counts[state]))]
    likely *= negative_multinomial(held, [r * sessions for r in config.counts[state]], config)
    buy = min(config.buy[kind] * factor(config, day, 2), 1) if state == READY else 0.0
    review, refund = (config.review, config.refund) if state == SATED else (0.0, 0.0)
    likely *= buy if bought else 1 - buy
    likely *= review * (1 - config.bad_review) if good else 1.0
    likely *= review * config.bad_review if bad else 1.0
    likely *= 1.0 if good or bad else 1 - review
    return likely * (refund if refunded else 1 - refund)


def after(counts) -> int | None:
    if counts[REFUND] or counts[BAD]:
        return DORMANT
    if counts[GOOD]:
        return BROWSING
    return SATED if counts[PURCHASE] else None


def step(config: Config, day: int, kind: int, state: int, ended: int | None) -> np.ndarray:
    """Return the probabilities of the next state."""
    if ended is not None:
        return np.eye(5)[ended]
    chances = np.zeros(5)
    if state == DORMANT:
        wake = config.wake * config.day_factors[day] * config.type_activity[kind]
        chances[BROWSING] = min(wake * factor(config, day, 0), 1)
    elif state == SATED:
        chances[DORMANT] = config.recover
    else:
        chances[:4] = config.moves[state - 1]
        if state != READY:
            room = 1 - chances[:READY].sum()
            chances[READY] = min(chances[READY] * factor(config, day, 1), room)
    chances[state] += 1 - chances.sum()
    return chances


def enumerated(
    config: Config, seen: Observed, who: int, anchor: int, horizon: int, known: str = "yyyyyy"
) -> float:
    """Return the probability of a purchase by summing over every type and path of states."""
    joined = int(seen.joined[who])
    total = bought = 0.0
    for kind in range(len(config.buy)):
        for path in itertools.product(range(5), repeat=anchor + 2 - joined):
            weight = config.type_shares[kind] * (path[0] == (BROWSING if joined else DORMANT))
            for place, day in enumerate(range(joined, anchor + 1)):
                if weight == 0:
                    break
                counts, sessions = seen.kinds[day, who], int(seen.sessions[day, who])
                if known[day] == "y":
                    weight *= day_likelihood(config, day, kind, path[place], sessions, counts)
                    following = step(config, day, kind, path[place], after(counts))
                else:
                    following = whatever_happens(config, day, kind, path[place])
                weight *= following[path[place + 1]]
            total += weight
            if weight:
                bought += weight * will_buy(config, anchor + 1, kind, path[-1], horizon)
    return bought / total


def outcomes_of(config: Config, day: int, kind: int, state: int) -> tuple[float, dict]:
    """Return the probability of a purchase, and of what else ends an intent if there is none."""
    mean = config.day_factors[day] * config.type_activity[kind] ** 0.5 * config.sessions[state]
    visit = 1 - math.exp(-mean)
    buy = 0.0
    if state == READY:
        buy = visit * min(config.buy[kind] * factor(config, day, 2), 1)
    outcomes = {None: 1.0}
    if state == SATED:
        good = config.review * (1 - config.bad_review) * (1 - config.refund) * visit
        home = visit * (config.refund + (1 - config.refund) * config.review * config.bad_review)
        outcomes = {BROWSING: good, DORMANT: home, None: 1 - good - home}
    return buy, outcomes


def whatever_happens(config: Config, day: int, kind: int, state: int) -> np.ndarray:
    """Return the probabilities of the next state after a day that is not looked at."""
    buy, outcomes = outcomes_of(config, day, kind, state)
    rest = sum(p * step(config, day, kind, state, ended) for ended, p in outcomes.items())
    return buy * np.eye(5)[SATED] + (1 - buy) * rest


def will_buy(config: Config, day: int, kind: int, state: int, horizon: int) -> float:
    """Return the probability of a purchase by following each outcome of each day ahead."""
    if horizon == 0:
        return 0.0
    buy, outcomes = outcomes_of(config, day, kind, state)
    later = sum(
        chance * probability * will_buy(config, day + 1, kind, following, horizon - 1)
        for ended, chance in outcomes.items()
        for following, probability in enumerate(step(config, day, kind, state, ended))
        if probability
    )
    return buy + (1 - buy) * later


@pytest.mark.parametrize(("anchor", "horizon"), [(0, 3), (1, 2), (2, 1)])
def test_the_filter_equals_the_sum_over_all_hidden_paths(anchor, horizon):
    seen = Observed.of(block_of_days(TINY, 0)[0])
    exact = probabilities(TINY, seen, anchor, [horizon])[:, 0]
    present = np.flatnonzero(seen.joined <= anchor)[:40]
    expected = [enumerated(TINY, seen, who, anchor, horizon) for who in present]
    np.testing.assert_allclose(exact[present], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("known", ["nny", "yyn", "yny", "nnn"])
def test_days_that_are_not_looked_at_may_hold_anything(known):
    seen = Observed.of(block_of_days(TINY, 0)[0])
    looked = np.array([letter == "y" for letter in known])
    exact = probabilities(TINY, seen, 2, [1], looked)[:, 0]
    present = np.flatnonzero(seen.joined <= 2)[:40]
    expected = [enumerated(TINY, seen, who, 2, 1, known) for who in present]
    np.testing.assert_allclose(exact[present], expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", [KINDS[number] for number in (CART, PURCHASE, GOOD, BAD, REFUND)])
def test_the_filter_equals_the_sum_over_all_hidden_paths_after(kind):
    seen = Observed.of(block_of_days(TINY, 0)[0])
    last = seen.joined >= TINY.days - 5  # short paths are enough
    who = np.flatnonzero((seen.kinds[:-1, :, KINDS.index(kind)].sum(0) > 0) & last)[:2]
    assert len(who), f"no customer with {kind}"
    exact = probabilities(TINY, seen, TINY.days - 2, [1])[who, 0]
    expected = [enumerated(TINY, seen, one, TINY.days - 2, 1) for one in who]
    np.testing.assert_allclose(exact, expected, rtol=1e-10, atol=1e-12)


SALE = ((50, 62, 0.7, 0.7), (62, 66, 1.0, 1.6), (66, 100, 1.6, 1.6))
"""Cheap up to the day after the anchor, then dearer and dearer."""


@pytest.fixture(scope="module", params=[(), SALE], ids=["even prices", "sale and inflation"])
def shop(request) -> tuple[Config, Observed]:
    config = Config(customers=8000, days=75, prices=request.param)
    drawn = [block_of_days(config, number)[0] for number in range(16)]
    return config, Observed(
        np.concatenate([d.joined for d in drawn]),
        np.concatenate([d.sessions for d in drawn], axis=1),
        np.concatenate([d.kinds for d in drawn], axis=1),
    )


@pytest.mark.parametrize("horizon", [1, 3, 7, 14])
def test_of_customers_given_a_probability_as_many_purchase(shop, horizon):
    config, seen = shop
    chance = probabilities(config, seen, 60, [horizon])[:, 0]
    bought = (seen.kinds[61 : 61 + horizon, :, PURCHASE] > 0).any(0)
    for group in np.array_split(np.argsort(chance), 10):
        expected, variance = chance[group].sum(), (chance[group] * (1 - chance[group])).sum()
        assert abs(bought[group].sum() - expected) < 4 * math.sqrt(variance)


def test_sharper_or_blunter_probabilities_are_worse(shop):
    config, seen = shop
    chance = probabilities(config, seen, 60, [7])[:, 0]
    bought = (seen.kinds[61:68, :, PURCHASE] > 0).any(0)

    def loss(p: np.ndarray) -> float:
        return float(-np.log(np.where(bought, p, 1 - p)).mean())

    odds = chance / (1 - chance)
    assert all(loss(odds**k / (1 + odds**k)) > loss(chance) for k in (0.8, 1.25))
    assert loss(chance) < loss(np.full(len(chance), bought.mean())) - 0.02


def test_events_alone_determine_the_input_of_the_filter():
    config = Config(customers=700, days=50)
    drawn = [block_of_days(config, number)[0] for number in range(2)]
    events = pa.concat_tables(simulate(config))
    mixed = events.take(np.random.default_rng(1).permutation(events.num_rows))
    seen = observe(config, mixed, customers(config))
    np.testing.assert_array_equal(seen.joined, np.concatenate([d.joined for d in drawn]))
    np.testing.assert_array_equal(
        seen.sessions, np.concatenate([d.sessions for d in drawn], axis=1)
    )
    np.testing.assert_array_equal(seen.kinds, np.concatenate([d.kinds for d in drawn], axis=1))


def test_the_future_is_not_looked_at(shop):
    config, seen = shop
    cut = Observed(seen.joined, seen.sessions * 1, seen.kinds * 1)
    cut.sessions[61:], cut.kinds[61:] = 0, 0
    np.testing.assert_array_equal(
        probabilities(config, seen, 60, [7]), probabilities(config, cut, 60, [7])
    )


def test_a_horizon_may_reach_beyond_the_last_day(shop):
    config, seen = shop
    last = probabilities(config, seen, config.days - 1, [1, 14])
    assert (last[:, 1] > last[:, 0]).all()
    assert rates.transitions(config).shape[0] == config.days
