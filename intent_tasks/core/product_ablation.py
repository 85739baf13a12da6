"""What taking one event away would do to the features of products, prices and the last visit.

Most events change little of these: what is lost is told of those that do, and where they are.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.core.event_counts import DAY_SECONDS, Bools, Past, Wide, latest_two
from intent_tasks.core.features import FAR_DAYS, Doubles, Slopes
from intent_tasks.core.product_features import (
    RECENT_CART_DAYS,
    RECENT_DAYS,
    VISITS,
    Products,
    pairs_of,
)
from intent_tasks.core.vocabulary import CODED, FIRST_CODE

_NEVER = np.iinfo(np.int64).min


class _Lost(NamedTuple):
    """What a feature loses without one of some events.

    Args:
        name: of the feature.
        places: of the events, each once, shape (k,).
        lost: with the event minus without it, shape (k,).
    """

    name: str
    places: Wide
    lost: npt.NDArray[np.floating]


def baskets(past: Past, slopes: Slopes) -> Doubles:
    """Return what each event adds to a sum of these features, shape (m,)."""
    found, pairs = np.zeros(len(past.who)), pairs_of(past)
    pair = pairs.of_events(len(past.who))
    for told in (_looks, _categories, _last_product, _open_carts):
        for each in told(past, pairs, pair):
            found[each.places] += each.lost * slopes.of(each.name)[past.who[each.places], 0]
    for each in (*_prices(past), *_visit(past)):
        found[each.places] += each.lost * slopes.of(each.name)[past.who[each.places], 0]
    return found


def _one_less(counts: npt.NDArray[np.integer]) -> Doubles:
    return np.asarray(np.log1p(counts) - np.log1p(np.maximum(counts - 1, 0)))


def _looks(past: Past, pairs: Products, pair: Wide) -> Iterator[_Lost]:
    n, view = past.count, past.of_type("view")
    looks, near = pairs.sums(view), pairs.sums(past.age_days < RECENT_DAYS)
    products = np.bincount(pairs.who, minlength=n)
    alone, recent = pairs.sizes == 1, near == 1
    at = pairs.events[pairs.begins[alone]]
    yield _Lost("product_count_log", at, _one_less(products)[pairs.who[alone]])
    fewer = _one_less(np.bincount(pairs.who[near > 0], minlength=n))[pairs.who[recent]]
    yield _Lost("product_count_7d_log", pairs.last[recent], fewer)
    most = pairs.most_of(looks, n)
    is_most = looks == most[pairs.who]
    is_most &= np.bincount(pairs.who[is_most], minlength=n)[pairs.who] == 1
    at = np.flatnonzero(view & np.append(is_most, False)[pair])
    yield _Lost("most_looks_log", at, _one_less(most)[past.who[at]])
    total = np.bincount(pairs.who, looks, n)
    viewed, only = view & (pair >= 0), np.append(alone, False)[pair]
    at = np.flatnonzero(viewed | only)
    who = past.who[at]
    without = (total[who] - viewed[at]) / np.maximum(products[who] - only[at], 1)
    lost = np.log1p(total / np.maximum(products, 1))[who] - np.log1p(without)
    yield _Lost("looks_per_product_log", at, lost)


def _categories(past: Past, pairs: Products, pair: Wide) -> Iterator[_Lost]:
    """A category goes with an event that is alone of its product, and of its category."""
    category = past.events.coded[:, CODED.index("category_path")].astype(np.int64)
    # The first event of each product stands for it: a product has one category.
    at = np.concatenate([pairs.events[pairs.begins], np.flatnonzero(pair < 0)])
    alone = np.append(pairs.sizes == 1, np.ones(len(at) - len(pairs.begins), bool))
    named = category[at] >= FIRST_CODE
    at, alone = at[named], alone[named]
    codes = 1 + category.max(initial=0)
    found, of_found = np.unique(past.who[at] * codes + category[at], return_inverse=True)
    events = np.bincount(of_found, np.where(alone, 1, 2), len(found))
    fewer = _one_less(np.bincount(found // codes, minlength=past.count))
    gone = events[of_found] == 1
    yield _Lost("category_count_log", at[gone], fewer[past.who[at[gone]]])


def _last_product(past: Past, pairs: Products, pair: Wide) -> Iterator[_Lost]:
    """Without the latest event with a product, the one before is the latest."""
    told = np.flatnonzero(pair >= 0)
    last, before = (np.append(told, -1)[each] for each in latest_two(past.who[told], past.count))
    of_last, of_before = (np.append(pair, -1)[each] for each in (last, before))
    at = np.flatnonzero((pair >= 0) & (pair == of_last[past.who]))
    now, who = at == last[past.who[at]], past.who[at]
    left = np.where(now, of_before[who], pair[at])
    names = ("last_product_looks_log", "last_product_carted", "last_product_bought")
    for name, kind in zip(names, ("view", "cart", "purchase"), strict=True):
        bend = np.log1p if kind == "view" else np.sign
        chosen = past.of_type(kind)
        counts = np.append(pairs.sums(chosen), 0).astype(np.float64)
        own = chosen[at] & (left == pair[at])
        yield _Lost(name, at, bend(counts[pair[at]]) - bend(counts[left] - own))


def _open_carts(past: Past, pairs: Products, pair: Wide) -> Iterator[_Lost]:
    """Without the cart that opened it a product is not open; without what ended it, it is again."""
    n, who = past.count, pairs.who
    carted, carted_before, last_cart = _times(past, pair, past.of_type("cart"), len(who))
    ends = past.of_type("purchase") | past.of_type("remove")
    ended, ended_before, last_end = _times(past, pair, ends, len(who))
    open_ = carted > ended
    opens = ~open_ & (carted > ended_before) & (last_end >= 0)
    later = open_ & (carted_before > ended)  # an earlier cart keeps it open
    price = np.maximum(pairs.most(past.events.price), 0)
    counts, prices = np.bincount(who[open_], minlength=n), np.bincount(who[open_], price[open_], n)
    age = np.append((past.ends[who] - np.maximum(carted, 0)) / DAY_SECONDS, FAR_DAYS)
    order = np.flatnonzero(open_)[np.argsort(carted[open_], kind="stable")]
    newest, second = (np.append(order, -1)[each] for each in latest_two(who[order], n))
    moved = np.flatnonzero(open_ | opens)
    w, opens, later = who[moved], opens[moved], later[moved]
    change = np.where(opens, -1, np.where(later, 0, 1))
    others = age[np.where(newest[w] == moved, second[w], newest[w])]
    earlier = (past.ends[w] - np.maximum(carted_before[moved], 0)) / DAY_SECONDS
    own = np.where(later, earlier, np.where(opens, age[moved], FAR_DAYS))
    for name, now, then in (
        ("open_cart_count_log", counts[w], counts[w] - change),
        ("open_cart_price_log", prices[w], np.maximum(prices[w] - change * price[moved], 0)),
        ("days_since_open_cart_log", age[newest][w], np.minimum(others, own)),
    ):
        at = np.where(opens, last_end[moved], last_cart[moved])
        yield _Lost(name, at, np.log1p(now) - np.log1p(then))


def _times(past: Past, pair: Wide, chosen: Bools, count: int) -> tuple[Wide, Wide, Wide]:
    """Return when the last and the one before of some events of each pair were, and which."""
    places = np.flatnonzero(chosen & (pair >= 0))
    last, before = latest_two(pair[places], count)
    times, where = np.append(past.events.occurred[places], _NEVER), np.append(places, -1)
    return times[last], times[before], where[last]


def _prices(past: Past) -> Iterator[_Lost]:
    n, price = past.count, past.events.price.astype(np.float64)
    viewed, carted, bought = (
        np.flatnonzero((price >= 0) & past.of_type(kind)) for kind in ("view", "cart", "purchase")
    )
    who = past.who[viewed]
    count, total = np.bincount(who, minlength=n), np.bincount(who, price[viewed], n)
    left = np.maximum(total[who] - price[viewed], 0) / np.maximum(count[who] - 1, 1)
    left = np.where(count[who] > 1, left, 0)
    mean = np.log1p(total / np.maximum(count, 1))[who] - np.log1p(left)
    last, now = _without_last(past, viewed, price)
    yield _Lost("price_view_mean_log", viewed, mean)
    yield _Lost("price_last_log", last, now)
    yield _Lost("price_last_to_mean_log", viewed, -mean)
    yield _Lost("price_last_to_mean_log", last, now)
    recent = carted[past.age_days[carted] < RECENT_CART_DAYS]
    dearest = recent[np.argsort(price[recent], kind="stable")]
    yield _Lost("price_cart_most_log", *_without_last(past, dearest, price))
    spent, who = np.bincount(past.who[bought], price[bought], n), past.who[bought]
    left = np.maximum(spent[who] - price[bought], 0)
    yield _Lost("spent_log", bought, np.log1p(spent)[who] - np.log1p(left))


def _without_last(past: Past, order: Wide, values: Doubles) -> tuple[Wide, Doubles]:
    """Return the last of each customer's, and by how much its value exceeds the one before's."""
    last, before = latest_two(past.who[order], past.count)
    some = last >= 0
    logs = np.log1p(np.append(values[order], 0))
    return order[last[some]], logs[last[some]] - logs[before[some]]


def _visit(past: Past) -> Iterator[_Lost]:
    last, before = latest_two(past.who, past.count)
    last, before = last[last >= 0], before[last >= 0]
    for name, most in VISITS.items():
        codes = np.append(past.events.coded[:, CODED.index(name)], 0)
        for n in range(most):
            now, then = ((codes[each] == FIRST_CODE + n) * 1.0 for each in (last, before))
            yield _Lost(f"last_{name}_is_{n}", last, now - then)
