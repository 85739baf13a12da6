"""How often the next product is among the 20 that are ranked first, ours beside its peers.

Next product: the first product after the anchor, within 14 days, that the customer did nothing with
in the history that is read. All products of the days to learn from are ranked but the latest 20 of
the customer; a product that nobody knew by then is a miss for everybody. Split by time: all that is
learned ends 14 days before the first anchor that is asked about; pasts are read up to the anchor.

- popularity: by customers over the last 14 days to learn from;
- co-visitation: by customers and days that hold it and one of the customer's latest 20 products,
  the newer weighing more; item-nearest-neighbour: the cosine of the products' customers instead;
- ours: the dot product of `models/pretraining/heads.py`, learned by `models/pretraining/train.py`;
- limit, of the simulated shop: the exact probability of each category given what the customer
  looked at (`simulator/taste.py`), times the product's share of its category.

Intervals: 95 %, bootstrap over customers, each row of a customer weighing the same.
Claim: ours is above the three peers; the exit code says whether the paired interval agrees.
Commands: `python -m benchmarks.next_product` (simulated shop, ten minutes);
`python -m benchmarks.next_product FILE FORMAT`, such as `events.csv retailrocket`; `--bare` adds
ours without titles and pictures of products.
"""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from benchmarks.shops import recorded, simulated, without_content
from intent_tasks.core.anchors import evenly
from intent_tasks.core.encoding import Encoded
from intent_tasks.core.event_arrays import EventArrays, event_arrays
from intent_tasks.core.item_embeddings import interaction_matrix
from intent_tasks.core.next_event_targets import (
    NextEventTargets,
    frequent_products,
    next_event_targets,
    product_numbers,
)
from intent_tasks.core.vocabulary import learn_vocabulary
from intent_tasks.definition import HORIZONS_DAYS, Definition
from intent_tasks.models.pretraining import heads, losses, train
from intent_tasks.models.sizes import SIZES
from intent_tasks.simulator import Config, simulate
from intent_tasks.simulator.catalogue import catalogue, stock
from intent_tasks.simulator.catalogue import customers as people_of
from intent_tasks.simulator.looks import look
from intent_tasks.simulator.taste import Categories, next_category

SHOP = Config(customers=8_000, products=1_000, seed=11)
FIRST, SEED, DRAWS = 20, 7, 1000
GAP = timedelta(days=max(HORIZONS_DAYS))
MOST_OF_DAY = 50
"""Products of a customer's day beyond which co-visitation does not count it."""
ASKED = 12
"""Days that are asked about."""

Ranker = Callable[[np.ndarray], np.ndarray]
"""Rows → scores of all products, shape (rows, products)."""


@dataclass
class Shop:
    """A shop cut by time.

    Args:
        events: those up to the cut.
        everything: all.
        numbers: number of the product of each.
        products: how many are known by the cut.
        first, cut, last: days; nothing after `cut` is learned from.
    """

    events: pa.Table
    everything: EventArrays
    numbers: np.ndarray
    products: int
    first: date
    cut: date
    last: date

    @classmethod
    def of(cls, events: pa.Table) -> "Shop":
        """Cut a shop after 70 % of its days."""
        days = pc.min_max(events["occurred_at"].cast(pa.date32())).as_py()
        cut = days["min"] + (days["max"] - days["min"]) * 0.7
        end = pa.scalar(Definition().day_end(cut), pa.timestamp("us", "UTC"))
        known = events.filter(pc.less(events["occurred_at"], end))
        vocabulary, products = learn_vocabulary([known]), frequent_products([known])
        return cls(
            known,
            event_arrays(events, vocabulary, "UTC"),
            product_numbers(events, products),
            len(products),
            days["min"],
            cut,
            days["max"],
        )

    @property
    def known(self) -> tuple[EventArrays, np.ndarray]:
        """The events with a product up to the cut, and its number."""
        end = Definition().day_end(self.cut).timestamp()
        place = np.flatnonzero((self.everything.occurred < end) & (self.numbers >= 0))
        return self.everything.select(place), self.numbers[place]

    def rows(self, first: date, last: date, most: int) -> tuple[Encoded, NextEventTargets]:
        """Return pasts at some anchors and what came next, of whom anything did."""
        days = evenly(first, last, most)
        return next_event_targets(self.everything, self.numbers, Definition(), days)


def peers(shop: Shop, asked: NextEventTargets) -> dict[str, Ranker]:
    """Return the peers, learned from what is known by the cut."""
    known, number = shop.known
    count, customers = shop.products, len(known.keys)
    recent = known.day > known.day.max() - GAP.days
    whole = _held(known.customer, number, (customers, count))
    lately = _held(known.customer[recent], number[recent], (customers, count))
    tie = whole.sum(axis=0) * 1e-9
    length = np.sqrt(np.maximum(whole.sum(axis=0), 1))
    scaled = whole @ sparse.diags_array(1 / length)
    visits = np.unique(np.stack([known.customer, known.day]), axis=1, return_inverse=True)[1]
    days = interaction_matrix(visits, number, count, MOST_OF_DAY)
    both = (days.T @ days).tocsr()
    both -= sparse.diags_array(both.diagonal()).tocsr()
    fading = heads.RECENCY_DECAY ** np.arange(asked.recent_products.shape[1])

    def by(likeness: sparse.csr_array) -> Ranker:
        def scores(rows: np.ndarray) -> np.ndarray:
            seen = asked.recent_products[rows]
            place, back = np.nonzero(seen >= 0)
            shape = (len(rows), count)
            pasts = sparse.csr_array((fading[back], (place, seen[place, back])), shape)
            return (pasts @ likeness).toarray() + tie

        return scores

    return {
        "popularity": lambda rows: np.tile(lately.sum(axis=0) + tie, (len(rows), 1)),
        "co-visitation": by(both),
        "item-nearest-neighbour": by((scaled.T @ scaled).tocsr()),
    }


def _held(who: np.ndarray, number: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    pairs = np.unique(np.stack([who, number]), axis=1)
    return sparse.csr_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape)


def ours(shop: Shop, asked: tuple[Encoded, NextEventTargets]) -> Ranker:
    """Learn what comes next up to the cut, and return the dot product as a ranker."""
    plan = train.Plan("gru", SIZES["nano"], Definition(), shop.first, shop.cut, SEED)
    ranker = train.learn([shop.events], plan, lambda line: print(line, file=sys.stderr)).ranker
    vectors = losses.customer_vectors(ranker, *asked)
    table = ranker.heads.products.table()
    return lambda rows: vectors[rows] @ table.T


def limit(config: Config, shop: Shop, asked: Encoded) -> Ranker:
    """Return the ranker that knows how the shop was simulated, but nothing that is hidden."""
    people, goods, sold = people_of(config), catalogue(config), stock(config)
    seen = look(config, pa.concat_tables(simulate(config)), people, goods)
    person = pc.index_in(pa.array(shop.everything.keys), people["customer_id"]).to_numpy()
    product = pc.index_in(
        pa.array(frequent_products([shop.events])), goods["product_id"]
    ).to_numpy()
    running = sold.popularity - sold.leaf
    begins = np.append(True, sold.leaf[1:] != sold.leaf[:-1])
    share = np.where(begins, running, np.diff(running, prepend=0.0))
    likely = np.zeros((len(asked.customers), config.leaves))
    for end in np.unique(asked.ends):
        day = (datetime.fromtimestamp(int(end), UTC).date() - config.first_day).days - 1
        told = next_category(Categories.of(config), seen, day).probability
        rows = asked.ends == end
        likely[rows] = told[person[asked.customers[rows]]]
    return lambda rows: likely[rows][:, sold.leaf[product]] * share[product]


def ranks(
    rankers: dict[str, Ranker], asked: NextEventTargets, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the place of the next product of each row, from 1; infinite where nobody knew it."""
    found = {}
    for name, ranker in rankers.items():
        parts = []
        for chunk in np.array_split(rows, max(1, len(rows) // 500)):
            scores, seen, product = (
                ranker(chunk),
                asked.recent_products[chunk],
                asked.product[chunk],
            )
            place, back = np.nonzero(seen >= 0)
            scores[place, seen[place, back]] = -np.inf
            own = scores[np.arange(len(chunk)), np.maximum(product, 0)]
            rank = 1.0 + (scores > own[:, None]).sum(axis=1)
            rank += ((scores == own[:, None]).sum(axis=1) - 1) / 2  # ties: in the middle
            parts.append(np.where(product >= 0, rank, np.inf))
        found[name] = np.concatenate(parts)
    return found


def interval(values: np.ndarray, customers: np.ndarray) -> str:
    """Return mean and interval of values of rows, as text."""
    _, who = np.unique(customers, return_inverse=True)
    total, count = np.bincount(who, values), np.bincount(who)
    rng = np.random.default_rng(SEED)
    picked = rng.integers(0, len(count), (DRAWS, len(count)))
    means = total[picked].sum(axis=1) / count[picked].sum(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return f"{values.mean():+.4f} [{low:+.4f}, {high:+.4f}]"


def main() -> int:
    """Print the table; fail where a peer is not below ours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="none: a simulated shop")
    parser.add_argument("format", nargs="?")
    parser.add_argument("--customers", type=int, default=SHOP.customers, help="of a simulated shop")
    parser.add_argument("--bare", action="store_true")
    given = parser.parse_args()
    config = replace(SHOP, customers=given.customers)
    events = recorded(given.file, given.format) if given.file else simulated(config)
    shop, begun = Shop.of(events), time.monotonic()
    asked = shop.rows(shop.cut + GAP, shop.last - GAP, ASKED)
    rows = np.flatnonzero(asked[1].has_product)
    rankers = peers(shop, asked[1])
    if given.bare:
        unseen = Shop.of(without_content(events))
        again = unseen.rows(shop.cut + GAP, shop.last - GAP, ASKED)
        rankers["ours without titles and pictures"] = ours(unseen, again)
    rankers["ours"] = ours(shop, asked)
    if not given.file:
        rankers["limit"] = limit(config, shop, asked[0])
    found = ranks(rankers, asked[1], rows)
    customers = asked[0].customers[rows]
    reachable = np.mean(asked[1].product[rows] >= 0)
    print(
        f"{len(rows):,} next products of {len(np.unique(customers)):,} customers among "
        f"{shop.products:,}; {reachable:.0%} of them were known; {time.monotonic() - begun:.0f} s\n"
    )
    print("| | recall@20 | MRR@20 | ours minus it, recall@20 | ours minus it, MRR@20 |")
    print("|---|---|---|---|---|")
    behind = 0
    recall = {name: (rank <= FIRST).astype(float) for name, rank in found.items()}
    reciprocal = {name: np.where(rank <= FIRST, 1 / rank, 0) for name, rank in found.items()}
    for name in found:
        differences = [each["ours"] - each[name] for each in (recall, reciprocal)]
        cells = [*(each[name] for each in (recall, reciprocal)), *differences]
        shown = [interval(cell, customers) for cell in cells]
        behind += name not in ("ours", "limit") and any("[-" in text for text in shown[2:])
        print(f"| {name} | " + " | ".join(shown if name != "ours" else [*shown[:2], "", ""]) + " |")
    return int(behind > 0)


if __name__ == "__main__":
    sys.exit(main())
