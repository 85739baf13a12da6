"""The simulated shop as tables: the same seed gives the same rows, whatever the chunking."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, time

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.simulator import process
from intent_tasks.simulator.catalogue import (
    BRANDS,
    Stock,
    category_words,
    given_coupon,
    joined_days,
    product_ids,
    stock,
)
from intent_tasks.simulator.config import BLOCK, Config
from intent_tasks.simulator.events import Events, spread
from intent_tasks.simulator.process import EVENT_TYPE_OF_KIND, KINDS

VERSION = 2
"""Version of the process: raise it when the same config gives other rows."""

DEVICES, _DEVICE_SHARES = ("mobile", "desktop", "tablet"), (0.58, 0.36, 0.06)
CHANNELS, _CHANNEL_SHARES = (
    ("direct", "organic", "ads", "e-mail", "social"),
    (0.4, 0.3, 0.15, 0.1, 0.05),
)
_GOOD_REVIEWS = (
    "Love the {0}, great for {1}",
    "Very good {0}, works perfectly",
    "Excellent quality",
)
_BAD_REVIEWS = ("The {0} broke after a week", "Disappointed, poor {1} quality", "Not as described")

_TYPES = (*EVENT_TYPE_OF_KIND, "view")
"""Event type of each kind, and of the view that starts a session."""
_ARRIVES = (20.0, 1.0)
"""Median and log-spread of the seconds until an event reaches the warehouse. Chosen."""


def simulate(
    config: Config, blocks: int = 1, change: Callable[[int, pa.Table], pa.Table] | None = None
) -> Iterator[pa.Table]:
    """Yield the events, columns of `shop.events`, by customer and time.

    Args:
        config: the shop.
        blocks: number of blocks in each table; it does not change the rows.
        change: function of the number of a block and its events that returns changed events.
    """
    texts = _texts(config)
    tables = []
    for number in range(config.blocks):
        block = _block(config, texts, number)
        tables.append(change(number, block) if change else block)
        if len(tables) == blocks:
            yield pa.concat_tables(tables)
            tables = []
    if tables:
        yield pa.concat_tables(tables)


def digest(config: Config, plants: Mapping[str, float] | None = None) -> str:
    """Return a digest of a shop: shops with different rows have different digests."""
    content = asdict(config) | {"version": VERSION, "plants": plants or {}}
    text = json.dumps(content, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Texts:
    """Texts of events, and the numbers that select them.

    Args:
        stock: the products.
        products: id of each product.
        searches: query by category and brand; the last brand means none.
        reviews: review by category and template, good ones first.
    """

    stock: Stock
    products: pa.Array
    searches: pa.Array
    reviews: pa.Array


def _texts(config: Config) -> Texts:
    pairs = list(zip(*category_words(np.arange(config.leaves)), strict=True))
    brands = [*(f"{brand} " for brand in BRANDS), ""]
    return Texts(
        stock(config),
        product_ids(config),
        pa.array([f"{brand}{root} {end}".lower() for root, end in pairs for brand in brands]),
        pa.array(
            [t.format(end, root) for root, end in pairs for t in (*_GOOD_REVIEWS, *_BAD_REVIEWS)]
        ),
    )


def block_of_days(config: Config, number: int) -> tuple[process.Days, np.random.Generator]:
    """Return the days of one block of customers, and the block's generator after drawing them."""
    joined = joined_days(config, number)
    rng = np.random.default_rng(np.random.SeedSequence(config.seed, spawn_key=(number,)))
    return process.draw(config, joined, given_coupon(config, number), rng), rng


def next_categories(config: Config, number: int, day: int) -> np.ndarray:
    """Return the true distribution of the category that each customer of a block views next.

    It is the category of the first product of a session on that day, given the customer's hidden
    taste; `taste.py` estimates it from events. Days count from the shop's first day.

    Returns:
        float, shape (customers, leaves), until the block's last customer with events.
    """
    days, rng = block_of_days(config, number)
    events = spread(config, stock(config), days, rng)
    return np.asarray(events.tastes[events.period[day]])


def _block(config: Config, texts: Texts, number: int) -> pa.Table:
    days, rng = block_of_days(config, number)
    events = spread(config, texts.stock, days, rng)
    customer = pc.take(_numbers("", number * BLOCK, len(days.types), 8), pa.array(events.customer))
    return pa.table(
        {
            "event_id": _joined("e", customer, _places(events.customer), 6),
            "customer_id": pc.binary_join_element_wise("c", customer, ""),
            "session_id": _joined("s", customer, _session_places(events), 5),
            "event_type": pc.take(pa.array(_TYPES), pa.array(events.kind)),
            **_subject(config, texts, events, rng),
            **_visit(events, rng),
            **_times(config, events, rng),
        }
    )


def _numbers(prefix: str, first: int, count: int, width: int) -> pa.Array:
    return pa.array([f"{prefix}{number:0{width}d}" for number in range(first, first + count)])


def _joined(prefix: str, customer: pa.Array, place: np.ndarray, width: int) -> pa.Array:
    numbers = _numbers("", 0, int(place.max(initial=0)) + 1, width)
    return pc.binary_join_element_wise(prefix, customer, "-", pc.take(numbers, pa.array(place)), "")


def _places(group: np.ndarray) -> np.ndarray:
    """Return the position of each row within its run of equal values."""
    return np.asarray(np.arange(len(group)) - np.searchsorted(group, group))


def _session_places(events: Events) -> np.ndarray:
    first = np.searchsorted(events.customer, events.customer)
    return np.asarray(events.session - events.session[first])


def _subject(
    config: Config, texts: Texts, events: Events, rng: np.random.Generator
) -> dict[str, pa.Array]:
    kind = np.asarray(_TYPES)[events.kind]
    leaf, brand = texts.stock.leaf[events.product], texts.stock.brand[events.product]
    searched_brand = np.where(events.kind == KINDS.index("search_brand"), brand, len(BRANDS))
    bad = events.kind == process.BAD
    template = rng.integers(3, size=len(kind)) + 3 * bad
    stars = np.where(bad, 1, 4) + rng.integers(2, size=len(kind))
    searched, reviewed = kind == "search", kind == "review"
    priced = ~searched & ~reviewed
    pieces = np.isin(kind, ("cart", "remove", "purchase", "refund"))
    price = (texts.stock.price[events.product] * config.price_level[events.priced]).round(2)
    return {
        "product_id": texts.products.take(_where(events.product, ~searched)),
        "quantity": pa.array(events.quantity.astype(np.int32), mask=~pieces),
        "price": pa.array(price, mask=~priced),
        "currency": pa.array(["EUR"]).take(_where(np.zeros(len(kind), int), priced)),
        "query_text": texts.searches.take(
            _where(leaf * (len(BRANDS) + 1) + searched_brand, searched)
        ),
        "review_text": texts.reviews.take(_where(leaf * 6 + template, reviewed)),
        "rating": pa.array(stars.astype(np.int32), mask=~reviewed),
    }


def _where(numbers: np.ndarray, present: np.ndarray) -> pa.Array:
    return pa.array(numbers, mask=~present)


def _visit(events: Events, rng: np.random.Generator) -> dict[str, pa.Array]:
    """Draw channel and device of each session: the customer's own device, or at times another."""
    sessions, people = (
        int(events.session.max(initial=-1)) + 1,
        int(events.customer.max(initial=-1)) + 1,
    )
    channel = rng.choice(len(CHANNELS), sessions, p=_CHANNEL_SHARES)
    own = rng.choice(len(DEVICES), people, p=_DEVICE_SHARES)[events.customer]
    other = rng.choice(len(DEVICES), sessions, p=_DEVICE_SHARES)[events.session]
    is_other = (rng.random(sessions) < 0.15)[events.session]
    return {
        "channel": pa.array(CHANNELS).take(pa.array(channel[events.session])),
        "device": pa.array(DEVICES).take(pa.array(np.where(is_other, other, own))),
    }


def _times(config: Config, events: Events, rng: np.random.Generator) -> dict[str, pa.Array]:
    n = len(events.second)
    start = np.datetime64(datetime.combine(config.first_day, time()), "us")
    occurred = start + (events.second * 1e6).astype("timedelta64[us]")
    median, width = _ARRIVES
    seconds = np.exp(np.log(median) + width * rng.normal(size=n))
    ingested = occurred + (seconds * 1e6).astype("timedelta64[us]")
    instant = pa.timestamp("us", tz="UTC")
    return {
        "occurred_at": pa.array(occurred).cast(instant),
        "ingested_at": pa.array(ingested).cast(instant),
    }
