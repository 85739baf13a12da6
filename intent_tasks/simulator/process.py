"""The hidden process: intent of each customer by day, and the numbers of events that follow.

Given type and state, a day has a Poisson number of sessions. Given that number and the engagement
of the day, the numbers of each kind of event are independent. All other properties of an event
(time, product, device, words) do not depend on the state, so the numbers are sufficient to infer
it: `bayes_optimal.py` relies on this.
"""

from dataclasses import dataclass, replace

import numpy as np

from intent_tasks.simulator.config import (
    BROWSING,
    COUNTED,
    DORMANT,
    READY,
    SATED,
    Config,
)
from intent_tasks.simulator.rates import buying, session_means, transitions

KINDS = (*COUNTED, "remove", "purchase", "review_good", "review_bad", "refund")
"""Kinds of events that are counted, beyond the view that starts a session.

A kind is an event type, with a suffix if the type has several kinds.
"""

EVENT_TYPE_OF_KIND = tuple(kind.partition("_")[0] for kind in KINDS)
"""Event type of each of `KINDS`."""

CART, REMOVE, PURCHASE, GOOD, BAD, REFUND = range(KINDS.index("cart"), len(KINDS))


@dataclass(frozen=True)
class Days:
    """The days of a block of customers.

    Args:
        types: int, shape (customers,).
        joined: first day, counted from the shop's first day, shape (customers,).
        states: hidden intent, int8, shape (days, customers).
        sessions: int32, shape (days, customers).
        kinds: numbers of `KINDS`, int32, shape (days, customers, kinds).
    """

    types: np.ndarray
    joined: np.ndarray
    states: np.ndarray
    sessions: np.ndarray
    kinds: np.ndarray


def draw(config: Config, joined: np.ndarray, given: np.ndarray, rng: np.random.Generator) -> Days:
    """Draw the days of a block of customers.

    Args:
        config: the shop.
        joined: first day of each customer, counted from the shop's first day.
        given: whether each customer has the coupon, if there is one.
        rng: generator of this block.
    """
    n = len(joined)
    types = rng.choice(len(config.buy), n, p=config.type_shares)
    states = np.full((config.days, n), DORMANT, np.int8)
    sessions = np.zeros((config.days, n), np.int32)
    kinds = np.zeros((config.days, n, len(KINDS)), np.int32)
    shops = (replace(config, coupon=()), config)  # without and with the coupon
    cumulated = np.stack([transitions(shop).cumsum(-1) for shop in shops])
    chances, means = np.stack([buying(shop) for shop in shops]), session_means(config)
    coupon = given.astype(int)
    state = np.where(joined > 0, BROWSING, DORMANT)  # new customers join to browse
    for day in range(config.days):
        here = joined <= day
        states[day] = np.where(here, state, DORMANT)
        sessions[day] = rng.poisson(means[day, types, state]) * here
        buy = chances[coupon, day, types]
        kinds[day] = _kinds(config, buy, state, sessions[day], rng)
        after = (rng.random(n)[:, None] > cumulated[coupon, day, types, state]).sum(-1)
        state = np.where(here, _ended(kinds[day], np.minimum(after, SATED)), state)
    return Days(types, joined, states, sessions, kinds)


def _kinds(
    config: Config,
    buy: np.ndarray,
    state: np.ndarray,
    sessions: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    n = len(state)
    kinds = np.zeros((n, len(KINDS)), np.int32)
    engaged = sessions * rng.gamma(config.engagement, 1 / config.engagement, n)
    kinds[:, : len(COUNTED)] = rng.poisson(np.asarray(config.counts)[state] * engaged[:, None])
    can_buy = (state == READY) & (sessions > 0)
    bought = can_buy & (rng.random(n) < buy)
    kinds[:, REMOVE] = rng.binomial(kinds[:, CART], config.remove)
    kinds[:, CART] += bought  # a bought product was carted, and is not removed
    kinds[:, PURCHASE] = bought
    can_review = (state == SATED) & (sessions > 0)
    reviewed = can_review & (rng.random(n) < config.review)
    bad = rng.random(n) < config.bad_review
    kinds[:, GOOD], kinds[:, BAD] = reviewed & ~bad, reviewed & bad
    kinds[:, REFUND] = can_review & (rng.random(n) < config.refund)
    return kinds


def _ended(kinds: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Return the next state: some events set it, whatever the chain drew.

    After a purchase a customer is sated, after a good review browsing, after a bad review or a
    refund dormant. So each purchase is reviewed and refunded at most once.
    """
    after = np.where(kinds[:, PURCHASE] > 0, SATED, after)
    after = np.where(kinds[:, GOOD] > 0, BROWSING, after)
    return np.where((kinds[:, REFUND] > 0) | (kinds[:, BAD] > 0), DORMANT, after)
