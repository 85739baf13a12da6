"""Turn the daily numbers of events into single events: order, product and time of each."""

from dataclasses import dataclass

import numpy as np

from intent_tasks.simulator.catalogue import DIMENSIONS, Stock, category_weights
from intent_tasks.simulator.config import Config
from intent_tasks.simulator.process import BAD, CART, GOOD, KINDS, PURCHASE, REFUND, REMOVE, Days

START = len(KINDS)
"""Kind of the view that starts a session."""

REPEATED_VIEW, VIEW = KINDS.index("view_again"), KINDS.index("view")

FOCUS = 0.8
"""Share of new products that are of the session's category. Chosen."""

TASTE = 0.6
"""Weight of taste relative to popularity. Chosen: a customer has a few favourite categories."""

DAY_SECONDS = 86400
_HOURS = (7, 4, 3, 2, 2, 4, 9, 17, 26, 33, 37, 38, 38, 37, 36, 36, 38, 42, 50, 57, 60, 54, 36, 17)
"""Sessions by hour: low at night, high in the evening; chosen after common curves."""


@dataclass(frozen=True)
class Events:
    """Events of a block, by customer and time.

    Args:
        customer: number within the block, shape (events,), as all others.
        kind: index in `KINDS`, or START.
        session: number within the block, ascending.
        product: viewed product; of a search, the product viewed before.
        quantity: number of pieces.
        second: seconds since the start of the shop's first day.
        priced: day whose price level applies; of a refund, the day of its purchase.
        tastes: probability of each category at the start of a session, by period of the product
            mix and customer, until the last customer with events; (periods, customers, leaves).
        period: period of each day, shape (days,).
    """

    customer: np.ndarray
    kind: np.ndarray
    session: np.ndarray
    product: np.ndarray
    quantity: np.ndarray
    second: np.ndarray
    priced: np.ndarray
    tastes: np.ndarray
    period: np.ndarray


def spread(config: Config, stock: Stock, days: Days, rng: np.random.Generator) -> Events:
    """Return the events of the numbers of a block."""
    customer, day = np.nonzero(days.sessions.T)  # a cell: one customer on one day with sessions
    sessions = days.sessions[day, customer]
    counts = np.column_stack([days.kinds[day, customer], sessions])
    cell = np.repeat(np.arange(len(day)), counts.sum(1))
    kind = np.repeat(np.tile(np.arange(START + 1), len(day)), counts.ravel())
    order, session = _order(cell, kind, sessions, rng)
    cell, kind = cell[order], kind[order]
    owner = np.repeat(customer, sessions)
    tastes, period = _tastes(config, stock, int(owner.max(initial=-1)) + 1, rng)
    row = period[np.repeat(day, sessions)] * tastes.shape[1] + owner
    product = _viewed_products(
        stock, tastes.reshape(-1, config.leaves), kind, session, row, owner, rng
    )
    quantity, priced = 1 + rng.poisson(0.2, len(kind)), day[cell]
    _settle(cell, kind, product, quantity, priced)
    second = _seconds(config, cell, session, sessions, rng) + day[cell] * DAY_SECONDS
    return Events(customer[cell], kind, session, product, quantity, second, priced, tastes, period)


def _order(
    cell: np.ndarray, kind: np.ndarray, sessions: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the order of events, and the session of each in that order.

    A session starts with a view; carts, removals and the purchase are in the day's last one.
    """
    first = sessions.cumsum() - sessions
    starts = kind == START
    chosen = (rng.random(len(kind)) * sessions[cell]).astype(int)
    chosen[starts] = np.arange(starts.sum()) - first[cell[starts]]
    closing = (kind == CART) | (kind == REMOVE) | (kind == PURCHASE)
    chosen = np.where(closing, sessions[cell] - 1, chosen)
    session = first[cell] + chosen
    rank = np.ones(START + 1)
    rank[[CART, REMOVE, PURCHASE, START]] = 1.5, 3.0, 4.0, -1.0
    order = np.argsort(session * 8 + rank[kind] + rng.random(len(kind)), kind="stable")
    return order, session[order]


def _tastes(
    config: Config, stock: Stock, customers: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    weights, period = np.unique(category_weights(config, stock), axis=0, return_inverse=True)
    taste = rng.normal(size=(customers, DIMENSIONS))
    return np.stack([preferences(stock.taste, weight, taste) for weight in weights]), period


def preferences(categories: np.ndarray, weight: np.ndarray, taste: np.ndarray) -> np.ndarray:
    """Return the probability that a session is about each category.

    Args:
        categories: latent vectors, shape (leaves, dimensions).
        weight: of each category, shape (leaves,).
        taste: latent vectors of customers, shape (…, dimensions).

    Returns:
        float, shape (…, leaves).
    """
    liked = taste @ categories.T * TASTE
    share = np.exp(liked - liked.max(-1, keepdims=True, initial=0)) * weight
    return np.asarray(share / share.sum(-1, keepdims=True))


def _viewed_products(
    stock: Stock,
    tastes: np.ndarray,
    kind: np.ndarray,
    session: np.ndarray,
    row: np.ndarray,
    owner: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the product of each event: a new one, or the one before.

    The category depends on taste alone (`taste.py` relies on this). If the same product is drawn
    twice in a row, the second is replaced by the next of its category: only `view_again` repeats.
    """
    running = tastes.cumsum(1)
    new = (kind == START) | (kind == VIEW)
    focus = _pick(running, row, rng)[session[new]]
    other = _pick(running, row[session[new]], rng)
    leaf = np.where(rng.random(len(focus)) < FOCUS, focus, other)
    place = np.searchsorted(stock.popularity, leaf + rng.random(len(leaf)), side="right")
    drawn = np.minimum(place, stock.first[leaf + 1] - 1)
    person, first, size = owner[session[new]], stock.first[leaf], np.diff(stock.first)[leaf]
    while (same := (drawn[1:] == drawn[:-1]) & (person[1:] == person[:-1])).any():
        drawn[1:][same] = (first + (drawn - first + 1) % size)[1:][same]
    return np.asarray(drawn[new.cumsum() - 1])


def _pick(running: np.ndarray, row: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    drawn = (running[row] < rng.random(len(row))[:, None]).sum(1)
    return np.asarray(np.minimum(drawn, running.shape[1] - 1))


def _settle(cell: np.ndarray, kind: np.ndarray, *fields: np.ndarray) -> None:
    """Copy fields from carts to their removals and purchase, and from purchases to what follows.

    Removals take the first carts of a day, the purchase takes the last: no cart is used twice.
    """
    carts, removed, bought = (np.flatnonzero(kind == k) for k in (CART, REMOVE, PURCHASE))
    nth = np.arange(len(removed)) - np.searchsorted(cell[removed], cell[removed])
    removed_carts = carts[np.searchsorted(cell[carts], cell[removed]) + nth]
    bought_carts = carts[np.searchsorted(cell[carts], cell[bought], side="right") - 1]
    after = np.flatnonzero((kind == GOOD) | (kind == BAD) | (kind == REFUND))
    purchases = bought[np.searchsorted(bought, after) - 1] if len(bought) else after
    for to, source in ((removed, removed_carts), (bought, bought_carts), (after, purchases)):
        for field in fields:
            field[to] = field[source]


def _seconds(
    config: Config,
    cell: np.ndarray,
    session: np.ndarray,
    sessions: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the second of the day of each event; sessions of a day do not overlap."""
    n = int(sessions.sum())
    hour = rng.choice(len(_HOURS), n, p=np.array(_HOURS) / sum(_HOURS))
    begin = np.sort(
        (hour + rng.random(n)) * 3600 + np.repeat(np.arange(len(sessions)), sessions) * 1e6
    )
    median, width = config.seconds
    gap = np.exp(np.log(median) + width * rng.normal(size=len(cell)))
    starts = np.r_[True, session[1:] != session[:-1]][: len(session)]
    gap[starts] = 1.0
    passed = gap.cumsum()
    late = np.maximum.accumulate(begin[session[starts]] - passed[starts])
    second = late[starts.cumsum() - 1] + passed - cell * 1e6
    last = np.full(len(sessions), 0.0)
    np.maximum.at(last, cell, second)
    over = np.maximum(last - DAY_SECONDS + 1, 0)
    return np.asarray(np.clip(second - over[cell], 0, DAY_SECONDS - 1))
