"""The hidden process: each customer's intent by day, and how much of what they do on it.

Given type and state, a day holds N ~ Poisson sessions, and given N and how engaged the customer is
that day, independent numbers of each kind of event. Everything else about an event (time, product,
device, words) is drawn without looking at the state, so the numbers hold all that can be known of
it: `limit.py` relies on this.
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
    """What a block of customers did.

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
        given: who has the coupon, if there is one.
        rng: of this block alone.
    """
    n = len(joined)
    types = rng.choice(len(config.buy), n, p=config.type_shares)
    states = np.full((config.days, n), DORMANT, np.int8)
    sessions = np.zeros((config.days, n), np.int32)
    kinds = np.zeros((config.days, n, len(KINDS)), np.int32)
    either = (replace(config, coupon=()), config)  # without the coupon, with it
    cumulated = np.stack([transitions(shop).cumsum(-1) for shop in either])
    chances, means = np.stack([buying(shop) for shop in either]), session_means(config)
    coupon = given.astype(int)
    state = np.where(joined > 0, BROWSING, DORMANT)  # who joins does so to look at something
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
    kinds[:, CART] += bought  # what is bought was carted, and is not removed
    kinds[:, PURCHASE] = bought
    rested = (state == SATED) & (sessions > 0)
    reviewed = rested & (rng.random(n) < config.review)
    bad = rng.random(n) < config.bad_review
    kinds[:, GOOD], kinds[:, BAD] = reviewed & ~bad, reviewed & bad
    kinds[:, REFUND] = rested & (rng.random(n) < config.refund)
    return kinds


def _ended(kinds: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Let events end an intent, whatever the chain says.

    A purchase sates; a good review begins a new interest, a bad one or a refund ends all. So each
    purchase is reviewed and refunded once at most.
    """
    after = np.where(kinds[:, PURCHASE] > 0, SATED, after)
    after = np.where(kinds[:, GOOD] > 0, BROWSING, after)
    return np.where((kinds[:, REFUND] > 0) | (kinds[:, BAD] > 0), DORMANT, after)
