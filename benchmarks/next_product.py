"""Recall of the next product in the 20 ranked first, compared with three simple rankers.

Next product: the first product within 14 days after the anchor that is not in the history that is
read. All products of the training days are ranked, without the latest 20 of the customer; a product
that is new after them is a miss for every ranker. Training ends 14 days before the first test
anchor; histories are read up to the anchor.

- popularity: number of customers in the last 14 training days;
- co-visitation: number of customer days with the product and one of the customer's latest 20
  products, weighted by recency; item-nearest-neighbour: the cosine of the products' customers;
- ours: the dot product of `models/pretraining/heads.py`, trained by `models/pretraining/train.py`;
- limit, in the simulated shop: the exact probability of each category given the customer's events
  (`simulator/taste.py`), times the product's share of its category.

Intervals: 95 %, bootstrap over customers.
Claim: ours is above the three others, with paired intervals above 0.
Commands: `python -m benchmarks.next_product` (simulated shop, ten minutes);
`python -m benchmarks.next_product FILE FORMAT`, such as `events.csv retailrocket`; `--bare` adds
ours without titles and pictures of products.
"""

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

from benchmarks.support.arguments import arguments_of
from benchmarks.support.default_encoder import ENCODER
from benchmarks.support.intervals import mean_and_interval
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
from tools.testbed.shops import recorded, simulated, without_content

SHOP = Config(customers=8_000, products=1_000, seed=11)
FIRST, SEED = 20, 7
GAP = timedelta(days=max(HORIZONS_DAYS))
MOST_PRODUCTS_OF_DAY = 50
"""Co-visitation does not count days of a customer with more products."""
TEST_ANCHORS = 12

Ranker = Callable[[np.ndarray], np.ndarray]
"""Rows → scores of all products, shape (rows, products)."""


@dataclass
class Shop:
    """A shop split by time.

    Args:
        events: those up to the cut.
        arrays: all events.
        numbers: product number of each event, shape (n,).
        products: number of products up to the cut.
        first, cut, last: days; training ends with `cut`.
    """

    events: pa.Table
    arrays: EventArrays
    numbers: np.ndarray
    products: int
    first: date
    cut: date
    last: date

    @classmethod
    def of(cls, events: pa.Table) -> "Shop":
        """Split a shop after 70 % of its days."""
        days = pc.min_max(events["occurred_at"].cast(pa.date32())).as_py()
        cut = days["min"] + (days["max"] - days["min"]) * 0.7
        end = pa.scalar(Definition().day_end(cut), pa.timestamp("us", "UTC"))
        past_events = events.filter(pc.less(events["occurred_at"], end))
        vocabulary, products = learn_vocabulary([past_events]), frequent_products([past_events])
        return cls(
            past_events,
            event_arrays(events, vocabulary, "UTC"),
            product_numbers(events, products),
            len(products),
            days["min"],
            cut,
            days["max"],
        )

    @property
    def training_events(self) -> tuple[EventArrays, np.ndarray]:
        """The events with a product up to the cut, and the product numbers."""
        end = Definition().day_end(self.cut).timestamp()
        rows = np.flatnonzero((self.arrays.occurred < end) & (self.numbers >= 0))
        return self.arrays.select(rows), self.numbers[rows]

    def rows(self, first: date, last: date, max_count: int) -> tuple[Encoded, NextEventTargets]:
        """Return the histories at some anchors that are followed by an event, and their targets."""
        days = evenly(first, last, max_count)
        return next_event_targets(self.arrays, self.numbers, Definition(), days)


def simple_rankers(shop: Shop, targets: NextEventTargets) -> dict[str, Ranker]:
    """Return the three simple rankers, fitted on the events up to the cut."""
    past_events, number = shop.training_events
    count, customers = shop.products, len(past_events.keys)
    recent = past_events.day > past_events.day.max() - GAP.days
    whole = _customer_products(past_events.customer, number, (customers, count))
    recently = _customer_products(past_events.customer[recent], number[recent], (customers, count))
    tie = whole.sum(axis=0) * 1e-9
    length = np.sqrt(np.maximum(whole.sum(axis=0), 1))
    scaled = whole @ sparse.diags_array(1 / length)
    visits = np.unique(
        np.stack([past_events.customer, past_events.day]), axis=1, return_inverse=True
    )[1]
    days = interaction_matrix(visits, number, count, MOST_PRODUCTS_OF_DAY)
    together = (days.T @ days).tocsr()
    together -= sparse.diags_array(together.diagonal()).tocsr()
    recency = heads.RECENCY_DECAY ** np.arange(targets.recent_products.shape[1])

    def rank_by(similarity: sparse.csr_array) -> Ranker:
        def scores(rows: np.ndarray) -> np.ndarray:
            recent = targets.recent_products[rows]
            row, back = np.nonzero(recent >= 0)
            shape = (len(rows), count)
            histories = sparse.csr_array((recency[back], (row, recent[row, back])), shape)
            return (histories @ similarity).toarray() + tie

        return scores

    return {
        "popularity": lambda rows: np.tile(recently.sum(axis=0) + tie, (len(rows), 1)),
        "co-visitation": rank_by(together),
        "item-nearest-neighbour": rank_by((scaled.T @ scaled).tocsr()),
    }


def _customer_products(
    customers: np.ndarray, number: np.ndarray, shape: tuple[int, int]
) -> sparse.csr_array:
    pairs = np.unique(np.stack([customers, number]), axis=1)
    return sparse.csr_array((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), shape)


def our_ranker(shop: Shop, test: tuple[Encoded, NextEventTargets]) -> Ranker:
    """Pretrain on the events up to the cut; return the dot product as a ranker."""
    plan = train.Plan(ENCODER, SIZES["nano"], Definition(), shop.first, shop.cut, SEED)
    ranker = train.learn([shop.events], plan, lambda line: print(line, file=sys.stderr)).ranker
    vectors = losses.customer_vectors(ranker, *test)
    table = ranker.heads.products.table()
    return lambda rows: vectors[rows] @ table.T


def best_ranker(config: Config, shop: Shop, encoded: Encoded) -> Ranker:
    """Return the ranker that knows how the shop is simulated, but not its hidden states."""
    people, products, sold = people_of(config), catalogue(config), stock(config)
    images = look(config, pa.concat_tables(simulate(config)), people, products)
    person = pc.index_in(pa.array(shop.arrays.keys), people["customer_id"]).to_numpy()
    product = pc.index_in(
        pa.array(frequent_products([shop.events])), products["product_id"]
    ).to_numpy()
    cumulative = sold.popularity - sold.leaf
    begins = np.append(True, sold.leaf[1:] != sold.leaf[:-1])
    share = np.where(begins, cumulative, np.diff(cumulative, prepend=0.0))
    exact = np.zeros((len(encoded.customers), config.leaves))
    for end in np.unique(encoded.ends):
        day = (datetime.fromtimestamp(int(end), UTC).date() - config.first_day).days - 1
        of_customers = next_category(Categories.of(config), images, day).probability
        rows = encoded.ends == end
        exact[rows] = of_customers[person[encoded.customers[rows]]]
    return lambda rows: exact[rows][:, sold.leaf[product]] * share[product]


def compute_ranks(
    rankers: dict[str, Ranker], targets: NextEventTargets, rows: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the rank of the next product of each row, from 1; infinite for a new product."""
    ranks_of = {}
    for name, ranker in rankers.items():
        parts = []
        for chunk in np.array_split(rows, max(1, len(rows) // 500)):
            scores, recent, product = (
                ranker(chunk),
                targets.recent_products[chunk],
                targets.product[chunk],
            )
            row, back = np.nonzero(recent >= 0)
            scores[row, recent[row, back]] = -np.inf
            own = scores[np.arange(len(chunk)), np.maximum(product, 0)]
            rank = 1.0 + (scores > own[:, None]).sum(axis=1)
            rank += ((scores == own[:, None]).sum(axis=1) - 1) / 2  # ties: in the middle
            parts.append(np.where(product >= 0, rank, np.inf))
        ranks_of[name] = np.concatenate(parts)
    return ranks_of


def main() -> int:
    """Print the table; fail when ours is not above a simple ranker."""
    parser = arguments_of(__doc__)
    parser.add_argument("file", type=Path, nargs="?", help="recorded events; none: simulate a shop")
    parser.add_argument("format", nargs="?")
    parser.add_argument("--customers", type=int, default=SHOP.customers, help="of a simulated shop")
    parser.add_argument("--bare", action="store_true")
    given = parser.parse_args()
    config = replace(SHOP, customers=given.customers)
    events = recorded(given.file, given.format) if given.file else simulated(config)
    shop, start = Shop.of(events), time.monotonic()
    test = shop.rows(shop.cut + GAP, shop.last - GAP, TEST_ANCHORS)
    rows = np.flatnonzero(test[1].has_product)
    rankers = simple_rankers(shop, test[1])
    if given.bare:
        bare = Shop.of(without_content(events))
        bare_test = bare.rows(shop.cut + GAP, shop.last - GAP, TEST_ANCHORS)
        rankers["ours without titles and pictures"] = our_ranker(bare, bare_test)
    rankers["ours"] = our_ranker(shop, test)
    if not given.file:
        rankers["limit"] = best_ranker(config, shop, test[0])
    ranks_of = compute_ranks(rankers, test[1], rows)
    customers = test[0].customers[rows]
    reachable = np.mean(test[1].product[rows] >= 0)
    print(
        f"{len(rows):,} next products of {len(np.unique(customers)):,} customers among "
        f"{shop.products:,}; {reachable:.0%} of them are of the training days; "
        f"{time.monotonic() - start:.0f} s\n"
    )
    print("| | recall@20 | MRR@20 | ours minus it, recall@20 | ours minus it, MRR@20 |")
    print("|---|---|---|---|---|")
    behind = 0
    recall = {name: (rank <= FIRST).astype(float) for name, rank in ranks_of.items()}
    reciprocal = {name: np.where(rank <= FIRST, 1 / rank, 0) for name, rank in ranks_of.items()}
    for name in ranks_of:
        differences = [each["ours"] - each[name] for each in (recall, reciprocal)]
        cells = [*(each[name] for each in (recall, reciprocal)), *differences]
        texts = [mean_and_interval(cell, customers) for cell in cells]
        behind += name not in ("ours", "limit") and any("[-" in text for text in texts[2:])
        print(f"| {name} | " + " | ".join(texts if name != "ours" else [*texts[:2], "", ""]) + " |")
    return int(behind > 0)


if __name__ == "__main__":
    sys.exit(main())
