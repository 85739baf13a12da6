"""Features of products: looked at again, carted and left, at which price; and of the last visit."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.core.event_arrays import ABSENT, Floats
from intent_tasks.core.event_counts import Bools, Past, Wide, starts
from intent_tasks.core.vocabulary import CODED, FIRST_CODE

VISITS = {"channel": 3, "device": 2}
"""Most frequent values of the last visit that are told."""
RECENT_DAYS, RECENT_CART_DAYS = 7, 30

BASKETS = (
    "product_count_log",
    "product_count_7d_log",
    "category_count_log",
    "most_looks_log",
    "last_product_looks_log",
    "last_product_carted",
    "last_product_bought",
    "looks_per_product_log",
    "open_cart_count_log",
    "open_cart_price_log",
    "days_since_open_cart_log",
    "price_view_mean_log",
    "price_cart_most_log",
    "price_last_log",
    "price_last_to_mean_log",
    "spent_log",
    *(f"last_{name}_is_{n}" for name, count in VISITS.items() for n in range(count)),
)
"""Names, in the order of `baskets`."""

_FAR_DAYS = 400.0


class Products(NamedTuple):
    """Products that customers dealt with: p pairs of customer and product, by customer.

    Args:
        who: place of the customer, shape (p,).
        events: places of the events, pair by pair, in the order of time.
        begins: where each pair begins in `events`, shape (p,).
    """

    who: Wide
    events: Wide
    begins: Wide

    @property
    def sizes(self) -> Wide:
        """Events of each pair, shape (p,)."""
        return np.asarray(np.diff(self.begins, append=len(self.events)))

    @property
    def last(self) -> Wide:
        """Place of the last event of each pair, shape (p,)."""
        return np.asarray(self.events[self.begins + self.sizes - 1])

    def of_events(self, count: int) -> Wide:
        """Return the pair of each of `count` events, -1 where it has no product."""
        found = np.full(count, -1)
        found[self.events] = np.repeat(np.arange(len(self.begins)), self.sizes)
        return found

    def most(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Return the largest value of the events of each pair, given that of all events."""
        if not len(self.begins):
            return np.zeros(0)
        return np.asarray(np.maximum.reduceat(values[self.events], self.begins))

    def sums(self, values: Bools) -> Wide:
        """Return how many events of each pair are chosen."""
        if not len(self.begins):
            return np.zeros(0, np.int64)
        return np.asarray(np.add.reduceat(values[self.events].astype(np.int64), self.begins))

    def most_of(self, values: Wide, count: int) -> Wide:
        """Return the largest value among the pairs of each of `count` customers, 0: no pair."""
        most, begins = np.zeros(count, np.int64), np.flatnonzero(starts(self.who))
        if len(begins):
            most[self.who[begins]] = np.maximum.reduceat(values, begins)
        return most


def baskets(past: Past) -> Floats:
    """Return the features, shape (n, len(BASKETS)); 0 where the shop does not record it."""
    pairs = pairs_of(past)
    columns = [*_looks(past, pairs), *_open_carts(past, pairs), *_prices(past), *_visit(past)]
    return np.stack(columns, axis=1).astype(np.float32)


def pairs_of(past: Past) -> Products:
    """Return the products that customers dealt with."""
    known = np.flatnonzero(past.events.product != ABSENT)
    who, product = past.who[known], past.events.product[known].astype(np.int64)
    cell = who * (int(product.max(initial=0)) + 1) + product
    order = np.argsort(cell, kind="stable")
    begins = np.flatnonzero(starts(cell[order]))
    return Products(who[order][begins], known[order], begins)


def _looks(past: Past, pairs: Products) -> list[Floats]:
    n = past.count
    looks = pairs.sums(past.of_type("view"))
    recent = pairs.sums(past.age_days < RECENT_DAYS) > 0
    products = np.bincount(pairs.who, minlength=n)
    most = pairs.most_of(looks, n)
    category = past.events.coded[:, CODED.index("category_path")].astype(np.int64)
    named = category >= FIRST_CODE
    both = np.unique(past.who[named] * (1 + category.max(initial=0)) + category[named])
    categories = np.bincount(both // (1 + category.max(initial=0)), minlength=n)
    each = np.bincount(pairs.who, looks, n) / np.maximum(products, 1)
    return [
        np.log1p(products),
        np.log1p(np.bincount(pairs.who[recent], minlength=n)),
        np.log1p(categories),
        np.log1p(most),
        *_last_product(past, pairs, looks),
        np.log1p(each),
    ]


def _last_product(past: Past, pairs: Products, looks: Wide) -> list[Floats]:
    """Return, of the product of the latest event, how often it was looked at, carted, bought."""
    latest = np.full(past.count, -1)
    of_event = pairs.of_events(len(past.who))
    told = of_event >= 0
    latest[past.who[told]] = of_event[told]
    carts, bought = (pairs.sums(past.of_type(kind)) for kind in ("cart", "purchase"))
    return [
        np.where(latest >= 0, np.append(values, 0)[latest], 0)
        for values in (np.log1p(looks), carts > 0, bought > 0)
    ]


def _open_carts(past: Past, pairs: Products) -> list[Floats]:
    """Return count, prices and age of what lies in the cart, as far as it can be known."""
    n, time = past.count, past.events.occurred.astype(np.float64)
    carted = pairs.most(np.where(past.of_type("cart"), time, -1))
    ended = past.of_type("purchase") | past.of_type("remove")
    open_ = carted > pairs.most(np.where(ended, time, -1))
    prices = np.maximum(pairs.most(past.events.price), 0)
    since = np.full(n, _FAR_DAYS)
    who = pairs.who[open_]
    np.minimum.at(since, who, (past.ends[who] - carted[open_]) / 86_400)
    return [
        np.log1p(np.bincount(who, minlength=n)),
        np.log1p(np.bincount(who, prices[open_], n)),
        np.log1p(since),
    ]


def _prices(past: Past) -> list[Floats]:
    n, price = past.count, past.events.price.astype(np.float64)
    told = price >= 0
    viewed, carted, bought = (told & past.of_type(k) for k in ("view", "cart", "purchase"))
    mean = _mean(past, viewed, price)
    most, last = np.zeros(n), np.zeros(n)
    recent = carted & (past.age_days < RECENT_CART_DAYS)
    np.maximum.at(most, past.who[recent], price[recent])
    last[past.who[viewed]] = price[viewed]
    spent = np.bincount(past.who[bought], price[bought], n)
    ratio = np.log1p(last) - np.log1p(mean)
    return [np.log1p(mean), np.log1p(most), np.log1p(last), ratio, np.log1p(spent)]


def _mean(past: Past, chosen: Bools, values: npt.NDArray[np.float64]) -> Floats:
    count = np.bincount(past.who[chosen], minlength=past.count)
    total = np.bincount(past.who[chosen], values[chosen], past.count)
    return np.asarray(total / np.maximum(count, 1))


def _visit(past: Past) -> list[Floats]:
    """Return whether channel and device of the latest event are the most frequent ones."""
    found = []
    for name, most in VISITS.items():
        latest = np.zeros(past.count, np.int64)
        latest[past.who] = past.events.coded[:, CODED.index(name)]
        found += [latest == FIRST_CODE + n for n in range(most)]
    return found
