"""Features of a customer's products, open carts and prices, and of the last visit."""

from typing import NamedTuple

import numpy as np

from intent_tasks.core.arrays import BoolArray, Float32Array, Float64Array, FloatArray, Int64Array
from intent_tasks.core.event_arrays import DAY_SECONDS, float32_columns
from intent_tasks.core.event_counts import FAR_DAYS, CustomerEvents, run_starts
from intent_tasks.core.vocabulary import ABSENT, FIRST_CODE

LAST_VISIT_VALUES = {"channel": 3, "device": 2}
"""Column → number of its most frequent values that have an indicator of their own."""
RECENT_DAYS, RECENT_CART_DAYS = 7, 30
CART_END_TYPES = ("purchase", "remove")
"""Event types after which a product is not in the cart."""
LAST_PRODUCT_TYPES = {
    "last_product_looks_log": "view",
    "last_product_carted": "cart",
    "last_product_bought": "purchase",
}
"""Feature → event type with the latest product: the number of views, or whether there is one."""
MOST_BITS = 63
"""Bits of a 64-bit integer without its sign."""
PRICED_TYPES = ("view", "cart", "purchase")
"""Event types whose prices are features: means, maxima and sums, in this order."""

PRODUCT_FEATURES = (
    "product_count_log",
    "product_count_7d_log",
    "category_count_log",
    "most_looks_log",
    *LAST_PRODUCT_TYPES,
    "looks_per_product_log",
    "open_cart_count_log",
    "open_cart_price_log",
    "days_since_open_cart_log",
    "price_view_mean_log",
    "price_cart_most_log",
    "price_last_log",
    "price_last_to_mean_log",
    "spent_log",
    *(f"last_{name}_is_{n}" for name, count in LAST_VISIT_VALUES.items() for n in range(count)),
)
"""Names of the columns of `product_features`; a look is a view."""


class CustomerProducts(NamedTuple):
    """The p pairs of customer and product, sorted by customer.

    Args:
        owner: index of the customer of each pair, shape (p,).
        events: event indices, grouped by pair, in order of time.
        starts: where each pair starts in `events`, shape (p,).
    """

    owner: Int64Array
    events: Int64Array
    starts: Int64Array

    @property
    def sizes(self) -> Int64Array:
        """Number of events of each pair, shape (p,)."""
        return np.asarray(np.diff(self.starts, append=len(self.events)))

    @property
    def last(self) -> Int64Array:
        """Index of the last event of each pair, shape (p,)."""
        return np.asarray(self.events[self.starts + self.sizes - 1])

    def pair_of_events(self, count: int) -> Int64Array:
        """Return the pair of each of `count` events, -1 for events without a product."""
        pair = np.full(count, -1)
        pair[self.events] = np.repeat(np.arange(len(self.starts)), self.sizes)
        return pair

    def max_per_pair(self, values: FloatArray) -> FloatArray:
        """Return the maximum over the events of each pair, from one value for each event."""
        if not len(self.starts):
            return np.zeros(0)
        return np.asarray(np.maximum.reduceat(values[self.events], self.starts))

    def count_per_pair(self, chosen: BoolArray) -> Int64Array:
        """Return the number of chosen events of each pair."""
        if not len(self.starts):
            return np.zeros(0, np.int64)
        return np.asarray(np.add.reduceat(chosen[self.events].astype(np.int64), self.starts))

    def max_per_customer(self, values: Int64Array, count: int) -> Int64Array:
        """Return the maximum over the pairs of each of `count` customers, 0 without a pair."""
        largest, starts = np.zeros(count, np.int64), np.flatnonzero(run_starts(self.owner))
        if len(starts):
            largest[self.owner[starts]] = np.maximum.reduceat(values, starts)
        return largest


def product_features(events: CustomerEvents) -> Float32Array:
    """Return shape (n, len(PRODUCT_FEATURES)); 0 where the shop does not record the value."""
    pairs = customer_products(events)
    pair = pairs.pair_of_events(len(events.owner))
    return float32_columns(
        [
            *_views(events, pairs, pair),
            *_open_carts(events, pairs, pair),
            *_prices(events),
            *_last_visit(events),
        ]
    )


def customer_products(events: CustomerEvents) -> CustomerProducts:
    """Return the pairs of customers and the products of their events."""
    named = np.flatnonzero(events.events.product != ABSENT)
    owner, product = events.owner[named], events.events.product[named].astype(np.int64)
    cell = owner * (int(product.max(initial=0)) + 1) + product
    order = stable_order(cell)
    starts = np.flatnonzero(run_starts(cell[order]))
    return CustomerProducts(owner[order][starts], named[order], starts)


def stable_order(values: Int64Array) -> Int64Array:
    """Return the indices that sort values of at least 0; equal values stay in order.

    NumPy sorts distinct numbers several times as fast as it orders equal ones.
    """
    bits = len(values).bit_length()
    if int(values.max(initial=0)).bit_length() + bits > MOST_BITS:
        return np.argsort(values, kind="stable")
    distinct = values << bits | np.arange(len(values))
    distinct.sort()
    return np.asarray(distinct & ((1 << bits) - 1))


def _views(events: CustomerEvents, pairs: CustomerProducts, pair: Int64Array) -> list[FloatArray]:
    n = events.count
    counts = _counts_of_types(events, pairs, pair)
    views = counts["view"]
    latest = events.age_days[pairs.last] < RECENT_DAYS
    products = np.bincount(pairs.owner, minlength=n)
    per_product = np.bincount(pairs.owner, views, n) / np.maximum(products, 1)
    return [
        np.log1p(products),
        np.log1p(np.bincount(pairs.owner[latest], minlength=n)),
        np.log1p(_count_categories(events)),
        np.log1p(pairs.max_per_customer(views, n)),
        *_last_product(events, pair, counts),
        np.log1p(per_product),
    ]


def _counts_of_types(
    events: CustomerEvents, pairs: CustomerProducts, pair: Int64Array
) -> dict[str, Int64Array]:
    """Return the number of events of each pair by type, for `LAST_PRODUCT_TYPES`."""
    return {
        each: np.bincount(1 + pair[events.is_type(each)], minlength=1 + len(pairs.starts))[1:]
        for each in LAST_PRODUCT_TYPES.values()
    }


def _count_categories(events: CustomerEvents) -> Int64Array:
    """Return the number of categories of each customer."""
    category = events.events.codes_by_column["category_path"]
    named = np.flatnonzero(category >= FIRST_CODE)
    has_category = np.zeros((events.count, 1 + int(category.max(initial=0))), bool)
    has_category[events.owner[named], category[named]] = True
    return np.asarray(np.count_nonzero(has_category, axis=1))


def _last_product(
    events: CustomerEvents, pair: Int64Array, counts: dict[str, Int64Array]
) -> list[FloatArray]:
    """Return `LAST_PRODUCT_TYPES` of the product of each customer's latest event."""
    latest = np.full(events.count, -1)
    named = np.flatnonzero(pair >= 0)
    latest[events.owner[named]] = pair[named]
    views, carts, bought = (counts[each] for each in LAST_PRODUCT_TYPES.values())
    return [
        np.where(latest >= 0, np.append(values, 0)[latest], 0)
        for values in (np.log1p(views), carts > 0, bought > 0)
    ]


def _open_carts(
    events: CustomerEvents, pairs: CustomerProducts, pair: Int64Array
) -> list[FloatArray]:
    """Return number, total price and age of the products in the cart.

    A product is in the cart if its last cart event is later than its last purchase or removal.
    """
    n, size = events.count, len(pairs.starts)
    carted = _latest_time(events, pair, size, "cart")
    open_ = np.flatnonzero(carted > _latest_time(events, pair, size, *CART_END_TYPES))
    owner, since = pairs.owner[open_], np.full(n, FAR_DAYS)
    np.minimum.at(since, owner, (events.anchor_seconds[owner] - carted[open_]) / DAY_SECONDS)
    return [
        np.log1p(np.bincount(owner, minlength=n)),
        np.log1p(np.bincount(owner, _largest_prices(events, pair, open_, size), n)),
        np.log1p(since),
    ]


def _latest_time(
    events: CustomerEvents, pair: Int64Array, pairs: int, *event_types: str
) -> Float64Array:
    """Return the time of the latest event of some types of each pair, -1 for none."""
    chosen = np.flatnonzero(events.is_type(*event_types) & (pair >= 0))
    latest = np.full(pairs, -1.0)
    latest[pair[chosen]] = events.events.occurred[chosen]  # the latest is written last
    return latest


def _largest_prices(
    events: CustomerEvents, pair: Int64Array, chosen: Int64Array, pairs: int
) -> Float32Array:
    """Return the largest price of each chosen pair, 0 for none."""
    is_chosen, largest = np.zeros(pairs + 1, bool), np.zeros(pairs, np.float32)
    is_chosen[chosen] = True  # the last, of events without a product, stays False
    index = np.flatnonzero(is_chosen[pair])
    np.maximum.at(largest, pair[index], events.price[index])
    return np.asarray(largest[chosen])


def _prices(events: CustomerEvents) -> list[FloatArray]:
    n, price = events.count, events.price.astype(np.float64)
    priced = price >= 0
    viewed, carted, bought = (
        np.flatnonzero(priced & events.is_type(each)) for each in PRICED_TYPES
    )
    mean = _mean_per_customer(events, viewed, price)
    largest, last = np.zeros(n), np.zeros(n)
    recent = carted[events.age_days[carted] < RECENT_CART_DAYS]
    np.maximum.at(largest, events.owner[recent], price[recent])
    last[events.owner[viewed]] = price[viewed]
    spent = np.bincount(events.owner[bought], price[bought], n)
    ratio = np.log1p(last) - np.log1p(mean)
    return [np.log1p(mean), np.log1p(largest), np.log1p(last), ratio, np.log1p(spent)]


def _mean_per_customer(
    events: CustomerEvents, chosen: Int64Array, values: Float64Array
) -> Float64Array:
    count = np.bincount(events.owner[chosen], minlength=events.count)
    total = np.bincount(events.owner[chosen], values[chosen], events.count)
    return np.asarray(total / np.maximum(count, 1))


def _last_visit(events: CustomerEvents) -> list[BoolArray]:
    """Return indicators of channel and device of each customer's latest event."""
    indicators = []
    for name, values in LAST_VISIT_VALUES.items():
        latest = np.zeros(events.count, np.int64)
        latest[events.owner[events.last]] = events.events.codes_by_column[name][events.last]
        indicators += [latest == FIRST_CODE + n for n in range(values)]
    return indicators
