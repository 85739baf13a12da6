"""Effect of removing one event on the features of products, prices and the last visit.

Most events change few of these features, so each effect names the events it concerns.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.core.arrays import BoolArray, Float64Array, FloatArray, Int64Array, IntegerArray
from intent_tasks.core.event_arrays import DAY_SECONDS
from intent_tasks.core.event_counts import FAR_DAYS, CustomerEvents, last_two
from intent_tasks.core.features import FeatureGradients
from intent_tasks.core.product_features import (
    CART_END_TYPES,
    LAST_PRODUCT_TYPES,
    LAST_VISIT_VALUES,
    PRICED_TYPES,
    RECENT_CART_DAYS,
    RECENT_DAYS,
    CustomerProducts,
    customer_products,
)
from intent_tasks.core.vocabulary import CODE_COLUMNS, FIRST_CODE

_NEVER = np.iinfo(np.int64).min


class _Effect(NamedTuple):
    """Change of a feature without one event.

    Args:
        name: name of the feature.
        events: event indices, each once, shape (k,).
        lost: the feature with the event minus without it, shape (k,).
    """

    name: str
    events: Int64Array
    lost: FloatArray


def product_effects(events: CustomerEvents, gradients: FeatureGradients) -> Float64Array:
    """Return what each event adds to a linear score of these features, shape (m,)."""
    total, pairs = np.zeros(len(events.owner)), customer_products(events)
    pair = pairs.pair_of_events(len(events.owner))
    for effects in (_views, _categories, _last_product, _open_carts):
        for each in effects(events, pairs, pair):
            total[each.events] += each.lost * gradients.of(each.name)[events.owner[each.events], 0]
    for each in (*_prices(events), *_last_visit(events)):
        total[each.events] += each.lost * gradients.of(each.name)[events.owner[each.events], 0]
    return total


def _log_loss_of_one(counts: IntegerArray) -> Float64Array:
    return np.asarray(np.log1p(counts) - np.log1p(np.maximum(counts - 1, 0)))


def _views(events: CustomerEvents, pairs: CustomerProducts, pair: Int64Array) -> Iterator[_Effect]:
    n, view = events.count, events.is_type("view")
    views = pairs.count_per_pair(view)
    near = pairs.count_per_pair(events.age_days < RECENT_DAYS)
    products = np.bincount(pairs.owner, minlength=n)
    alone, recent = pairs.sizes == 1, near == 1
    at = pairs.events[pairs.starts[alone]]
    yield _Effect("product_count_log", at, _log_loss_of_one(products)[pairs.owner[alone]])
    fewer = _log_loss_of_one(np.bincount(pairs.owner[near > 0], minlength=n))[pairs.owner[recent]]
    yield _Effect("product_count_7d_log", pairs.last[recent], fewer)
    largest = pairs.max_per_customer(views, n)
    is_largest = views == largest[pairs.owner]
    is_largest &= np.bincount(pairs.owner[is_largest], minlength=n)[pairs.owner] == 1
    at = np.flatnonzero(view & np.append(is_largest, False)[pair])
    yield _Effect("most_looks_log", at, _log_loss_of_one(largest)[events.owner[at]])
    total = np.bincount(pairs.owner, views, n)
    viewed, only = view & (pair >= 0), np.append(alone, False)[pair]
    at = np.flatnonzero(viewed | only)
    owner = events.owner[at]
    without_it = (total[owner] - viewed[at]) / np.maximum(products[owner] - only[at], 1)
    lost = np.log1p(total / np.maximum(products, 1))[owner] - np.log1p(without_it)
    yield _Effect("looks_per_product_log", at, lost)


def _categories(
    events: CustomerEvents, pairs: CustomerProducts, pair: Int64Array
) -> Iterator[_Effect]:
    """A category is lost with the only event of its only product."""
    category = events.events.coded[:, CODE_COLUMNS.index("category_path")].astype(np.int64)
    # The first event of each product represents it: a product has one category.
    at = np.concatenate([pairs.events[pairs.starts], np.flatnonzero(pair < 0)])
    alone = np.append(pairs.sizes == 1, np.ones(len(at) - len(pairs.starts), bool))
    named = category[at] >= FIRST_CODE
    at, alone = at[named], alone[named]
    codes = 1 + category.max(initial=0)
    cells, cell = np.unique(events.owner[at] * codes + category[at], return_inverse=True)
    count = np.bincount(cell, np.where(alone, 1, 2), len(cells))
    fewer = _log_loss_of_one(np.bincount(cells // codes, minlength=events.count))
    lost = count[cell] == 1
    yield _Effect("category_count_log", at[lost], fewer[events.owner[at[lost]]])


def _last_product(
    events: CustomerEvents, pairs: CustomerProducts, pair: Int64Array
) -> Iterator[_Effect]:
    """Without the latest event with a product, the previous one is the latest."""
    named = np.flatnonzero(pair >= 0)
    last, previous = (
        np.append(named, -1)[each] for each in last_two(events.owner[named], events.count)
    )
    of_last, of_previous = (np.append(pair, -1)[each] for each in (last, previous))
    at = np.flatnonzero((pair >= 0) & (pair == of_last[events.owner]))
    is_last, owner = at == last[events.owner[at]], events.owner[at]
    left = np.where(is_last, of_previous[owner], pair[at])
    for name, event_type in LAST_PRODUCT_TYPES.items():
        transform = np.log1p if name.endswith("_log") else np.sign
        chosen = events.is_type(event_type)
        counts = np.append(pairs.count_per_pair(chosen), 0).astype(np.float64)
        own = chosen[at] & (left == pair[at])
        yield _Effect(name, at, transform(counts[pair[at]]) - transform(counts[left] - own))


def _open_carts(
    events: CustomerEvents, pairs: CustomerProducts, pair: Int64Array
) -> Iterator[_Effect]:
    """Without its cart event a product leaves the cart; without its purchase it stays."""
    n, owner = events.count, pairs.owner
    carted, carted_before, last_cart = _last_two_times(
        events, pair, events.is_type("cart"), len(owner)
    )
    ended, ended_before, last_end = _last_two_times(
        events, pair, events.is_type(*CART_END_TYPES), len(owner)
    )
    open_ = carted > ended
    opens = ~open_ & (carted > ended_before) & (last_end >= 0)
    later = open_ & (carted_before > ended)  # an earlier cart event keeps it open
    price = np.maximum(pairs.max_per_pair(events.events.price), 0)
    counts = np.bincount(owner[open_], minlength=n)
    prices = np.bincount(owner[open_], price[open_], n)
    age = (events.anchor_seconds[owner] - np.maximum(carted, 0)) / DAY_SECONDS
    age = np.append(age, FAR_DAYS)
    order = np.flatnonzero(open_)[np.argsort(carted[open_], kind="stable")]
    newest, second = (np.append(order, -1)[each] for each in last_two(owner[order], n))
    moved = np.flatnonzero(open_ | opens)
    w, opens, later = owner[moved], opens[moved], later[moved]
    change = np.where(opens, -1, np.where(later, 0, 1))
    others = age[np.where(newest[w] == moved, second[w], newest[w])]
    earlier = (events.anchor_seconds[w] - np.maximum(carted_before[moved], 0)) / DAY_SECONDS
    own = np.where(later, earlier, np.where(opens, age[moved], FAR_DAYS))
    for name, with_it, without_it in (
        ("open_cart_count_log", counts[w], counts[w] - change),
        ("open_cart_price_log", prices[w], np.maximum(prices[w] - change * price[moved], 0)),
        ("days_since_open_cart_log", age[newest][w], np.minimum(others, own)),
    ):
        at = np.where(opens, last_end[moved], last_cart[moved])
        yield _Effect(name, at, np.log1p(with_it) - np.log1p(without_it))


def _last_two_times(
    events: CustomerEvents, pair: Int64Array, chosen: BoolArray, count: int
) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return times of the last two chosen events of each pair, and the index of the last."""
    index = np.flatnonzero(chosen & (pair >= 0))
    last, previous = last_two(pair[index], count)
    times = np.append(events.events.occurred[index], _NEVER)
    return times[last], times[previous], np.append(index, -1)[last]


def _prices(events: CustomerEvents) -> Iterator[_Effect]:
    n, price = events.count, events.events.price.astype(np.float64)
    viewed, carted, bought = (
        np.flatnonzero((price >= 0) & events.is_type(each)) for each in PRICED_TYPES
    )
    owner = events.owner[viewed]
    count, total = np.bincount(owner, minlength=n), np.bincount(owner, price[viewed], n)
    left = np.maximum(total[owner] - price[viewed], 0) / np.maximum(count[owner] - 1, 1)
    left = np.where(count[owner] > 1, left, 0)
    mean = np.log1p(total / np.maximum(count, 1))[owner] - np.log1p(left)
    last, lost = _effect_of_last(events, viewed, price)
    yield _Effect("price_view_mean_log", viewed, mean)
    yield _Effect("price_last_log", last, lost)
    yield _Effect("price_last_to_mean_log", viewed, -mean)
    yield _Effect("price_last_to_mean_log", last, lost)
    recent = carted[events.age_days[carted] < RECENT_CART_DAYS]
    by_price = recent[np.argsort(price[recent], kind="stable")]
    yield _Effect("price_cart_most_log", *_effect_of_last(events, by_price, price))
    owner = events.owner[bought]
    spent = np.bincount(owner, price[bought], n)
    left = np.maximum(spent[owner] - price[bought], 0)
    yield _Effect("spent_log", bought, np.log1p(spent)[owner] - np.log1p(left))


def _effect_of_last(
    events: CustomerEvents, order: Int64Array, values: Float64Array
) -> tuple[Int64Array, Float64Array]:
    """Return each customer's last event in `order`, and what its log1p value adds."""
    last, previous = last_two(events.owner[order], events.count)
    present = last >= 0
    logs = np.log1p(np.append(values[order], 0))
    return order[last[present]], logs[last[present]] - logs[previous[present]]


def _last_visit(events: CustomerEvents) -> Iterator[_Effect]:
    last, previous = last_two(events.owner, events.count)
    last, previous = last[last >= 0], previous[last >= 0]
    for name, values in LAST_VISIT_VALUES.items():
        codes: npt.NDArray[np.int32] = np.append(
            events.events.coded[:, CODE_COLUMNS.index(name)], 0
        )
        for n in range(values):
            now, then = ((codes[each] == FIRST_CODE + n) * 1.0 for each in (last, previous))
            yield _Effect(f"last_{name}_is_{n}", last, now - then)
