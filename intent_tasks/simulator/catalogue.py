"""Products and customers of the simulated shop."""

from dataclasses import dataclass
from datetime import UTC, datetime, time

import numpy as np
import pyarrow as pa

from intent_tasks.simulator.config import BLOCK, LEAVES_OF_ROOT, Config

DIMENSIONS = 8
"""Length of the latent vectors of taste and of the image embedding."""

ROOTS = ("home", "garden", "kitchen", "sports", "fashion", "beauty", "toys", "electronics")
LEAVES = ("basics", "sets", "classics", "travel", "gifts")
BRANDS = ("Alba", "Borea", "Cinto", "Dorna", "Elva", "Fjord", "Galen", "Holt", "Iris", "Juno")
TIERS = ("value", "standard", "premium")

_COUNTRIES = ("DE", "AT", "NL", "FR", "PL")
_COUNTRY_SHARES = (0.55, 0.15, 0.12, 0.1, 0.08)


@dataclass(frozen=True)
class Stock:
    """The products as numbers.

    Args:
        leaf: category of each product, ascending, shape (products,).
        first: first product of each category, and the end; shape (leaves + 1,).
        popularity: cumulative share within the category plus the number of the category: ascending,
            so that one binary search draws a product of a category; shape (products,).
        weight: popularity of each category, shape (leaves,).
        taste: latent vector of each category, shape (leaves, DIMENSIONS).
        brand: number of the brand, shape (products,).
        price: price of one piece, shape (products,).
        image: image embedding, shape (products, DIMENSIONS).
    """

    leaf: np.ndarray
    first: np.ndarray
    popularity: np.ndarray
    weight: np.ndarray
    taste: np.ndarray
    brand: np.ndarray
    price: np.ndarray
    image: np.ndarray


def stock(config: Config) -> Stock:
    """Draw the products; the same for the same config."""
    rng = np.random.default_rng([config.seed, 1])
    n, leaves = config.products, config.leaves
    share = (1.0 + np.arange(n)) ** -config.tail
    two = np.tile(np.arange(leaves), 2)  # at least two products in each category
    leaf = np.concatenate([two, rng.integers(leaves, size=n - 2 * leaves)])
    order = np.argsort(leaf, kind="stable")
    leaf, share = leaf[order], share[order]
    first = np.searchsorted(leaf, np.arange(leaves + 1))
    weight = np.add.reduceat(share, first[:-1])
    running = share.cumsum() - np.repeat(np.r_[0, weight.cumsum()[:-1]], np.diff(first))
    taste = rng.normal(size=(leaves, DIMENSIONS))
    price = config.price_median * np.exp(config.price_spread * rng.normal(size=n))
    image = taste[leaf] + 0.5 * rng.normal(size=(n, DIMENSIONS))
    return Stock(
        leaf,
        first,
        leaf + np.minimum(running / weight[leaf], 1),
        weight / weight.sum(),
        taste,
        rng.integers(len(BRANDS), size=n),
        np.maximum(price.round(2), 0.5),
        image,
    )


def category_weights(config: Config, sold: Stock) -> np.ndarray:
    """Return the weight of each category on each day, shape (days, leaves)."""
    weights = np.tile(sold.weight, (config.days, 1))
    department = np.arange(config.leaves) // LEAVES_OF_ROOT
    for first, end, number, factor in config.mix:
        weights[int(first) : int(end), department == number] *= factor
    return weights


def category_words(leaf: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two words of each category: the names of its root and of its leaf."""
    root = leaf // LEAVES_OF_ROOT
    names = np.array([f"{ROOTS[i % len(ROOTS)]}{i // len(ROOTS) or ''}" for i in range(1000)])
    return names[root % 1000], np.asarray(LEAVES)[leaf % len(LEAVES)]


def category_paths(leaves: int) -> list[str]:
    """Return the path of each category, such as `home.sets`."""
    pairs = zip(*category_words(np.arange(leaves)), strict=True)
    return [f"{root}.{end}" for root, end in pairs]


def catalogue(config: Config) -> pa.Table:
    """Return the products, columns of `shop.products`."""
    sold = stock(config)
    root, end = category_words(sold.leaf)
    brand = np.asarray(BRANDS)[sold.brand]
    tier = np.asarray(TIERS)[np.searchsorted(np.quantile(sold.price, [0.4, 0.85]), sold.price)]
    in_stock = np.random.default_rng([config.seed, 2]).random(config.products) < 0.96
    text = list(zip(brand, tier, root, end, range(config.products), strict=True))
    return pa.table(
        {
            "product_id": product_ids(config),
            "category_path": pa.array([f"{a}.{b}" for a, b in zip(root, end, strict=True)]),
            "brand": pa.array(brand.tolist()),
            "price": pa.array(sold.price),
            "title": pa.array([f"{b} {a} {e} {n}" for b, _, a, e, n in text]),
            "description": pa.array([f"{t} {e} for {a}, made by {b}" for b, t, a, e, _ in text]),
            "in_stock": pa.array(in_stock),
            "image_embedding": pa.array(sold.image.round(4).tolist(), pa.list_(pa.float64())),
        }
    )


def product_ids(config: Config) -> pa.Array:
    """Return the id of each product."""
    return pa.array([f"p{number:06d}" for number in range(config.products)])


def joined_days(config: Config, block: int) -> np.ndarray:
    """Return the day on which each customer of a block joined; 0: before the shop's first day."""
    rng = np.random.default_rng([config.seed, 3, block])
    n = min(BLOCK, config.customers - block * BLOCK)
    return np.where(rng.random(n) < config.known_before, 0, rng.integers(config.days, size=n))


def given_coupon(config: Config, block: int) -> np.ndarray:
    """Return which customers of a block get the coupon: a random half."""
    n = min(BLOCK, config.customers - block * BLOCK)
    return np.random.default_rng([config.seed, 6, block]).random(n) < 0.5


def customers(config: Config) -> pa.Table:
    """Return the customers, columns of `shop.customers`.

    Nine in ten consent to personalisation, half to marketing, and one in a hundred is suppressed.
    Chosen so that each rule about consent has customers on both sides.
    """
    rng = np.random.default_rng([config.seed, 4])
    n = config.customers
    joined = np.concatenate([joined_days(config, block) for block in range(config.blocks)])
    before = rng.integers(1, 1000, size=n) * (joined == 0)
    start = np.datetime64(datetime.combine(config.first_day, time()), "us")
    created = start + (joined - before) * np.timedelta64(1, "D")
    return pa.table(
        {
            "customer_id": pa.array([f"c{number:08d}" for number in range(n)]),
            "created_at": pa.array(created).cast(pa.timestamp("us", tz=str(UTC))),
            "country": pa.array(rng.choice(_COUNTRIES, n, p=_COUNTRY_SHARES).tolist()),
            "consent_personalisation": pa.array(rng.random(n) < 0.92),
            "consent_marketing": pa.array(rng.random(n) < 0.5),
            "suppressed": pa.array(rng.random(n) < 0.01),
        }
    )
