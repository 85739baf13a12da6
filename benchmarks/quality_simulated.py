"""How near every model comes to the exact limit on the simulated shop.

Split by time with gaps of the longest horizon, as the step `window` does; intervals by a bootstrap
over customers. A second table is of customers none of whose days were learned, a third by slice.
Read bucket by bucket: memory does not grow with customers, but for what trees learn from.

Command: `python -m benchmarks.quality_simulated [--customers 200000] [--encoder gru]`
"""

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import quality_compared as compared
from benchmarks.shops import goods, without_content
from intent_tasks.core.anchors import split_days
from intent_tasks.core.cohorts import cohorts_of
from intent_tasks.core.dataset import Dataset, Rows
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from intent_tasks.simulator import Config, customers, simulate
from intent_tasks.simulator.bayes_optimal import probabilities
from intent_tasks.simulator.config import BLOCK
from intent_tasks.simulator.observed import observe

FIRST_ANCHOR_DAY = 35
HELD_OUT = 10
"""One of this many buckets is not learned from."""
ORDER = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
LIMIT = "limit"


class Shop:
    """The simulated shop in buckets on disk, with the exact probabilities of its test days."""

    def __init__(self, count: int, seed: int, folder: Path, bucket_customers: int) -> None:
        """Simulate; `bucket_customers` are held in memory at once."""
        self.config, self.folder = Config(customers=count, seed=seed), folder
        first = self.config.first_day + timedelta(days=FIRST_ANCHOR_DAY)
        last = self.config.last_day - timedelta(days=max(HORIZONS_DAYS))
        split = split_days(first, last)
        assert split is not None
        self.split = {"train": split.train, "calibrate": split.calibrate, "test": split.test}
        sold = goods(self.config)
        people = customers(self.config)
        self.buckets, self.exact = 0, {}
        for events in simulate(self.config, max(1, bucket_customers // BLOCK)):
            self._keep(events, sold, people)

    def _keep(self, events: pa.Table, sold: pa.Table, people: pa.Table) -> None:
        present = pc.unique(events["customer_id"])
        mine = people.filter(pc.is_in(people["customer_id"], value_set=present))
        seen = observe(self.config, events, mine)
        names = mine["customer_id"].to_pylist()
        for anchor in self.split["test"]:
            day = (anchor - self.config.first_day).days
            chances = probabilities(self.config, seen, day, [MAIN_HORIZON_DAYS])[:, 0]
            self.exact[self.buckets, anchor] = dict(zip(names, chances, strict=True))
        named = events.join(sold, "product_id").rename_columns({"customer_id": "customer_key"})
        pq.write_table(named.sort_by(ORDER), self.folder / f"{self.buckets}.parquet")
        self.buckets += 1

    def slices(self, buckets: list[int], seed: int, bare: bool = False) -> Dataset:
        """Return the rows of some buckets as the product reads them; bare: without content."""

        def read(number: int) -> pa.Table:
            events = pq.read_table(self.folder / f"{buckets[number]}.parquet")
            return without_content(events) if bare else events

        return Dataset(read, len(buckets), self.split, Definition(), seed)

    def limit(self, bucket: int, rows: Rows) -> np.ndarray:
        """Return the exact probabilities of the test rows of a bucket."""
        keys, codes = rows.encoded.events.keys, rows.encoded.customers
        anchor, found = -1, np.empty(len(codes))
        for n, code in enumerate(codes):
            anchor += n == 0 or code <= codes[n - 1]  # codes rise within an anchor
            found[n] = self.exact[bucket, self.split["test"][anchor]][keys[code]]
        return found


def tested(shop: Shop, models: compared.Models, slices: Dataset, buckets: list[int]) -> tuple:
    """Return what is said, came true, of whom, and by which slice, of the test rows."""
    said, outcomes, keys, apart = [], [], [], []
    for bucket, rows in zip(buckets, slices.source("test")(0, 0), strict=True):
        said.append({**models.said(rows), LIMIT: shop.limit(bucket, rows)})
        outcomes.append(rows.purchased_within(MAIN_HORIZON_DAYS))
        keys.append(rows.encoded.events.keys[rows.encoded.customers])
        apart.append(cohorts_of(rows, slices.vocabulary))
    told = np.concatenate(outcomes), np.concatenate(keys).astype(str)
    return compared.joined(said), *told, compared.joined(apart)


def learned_from(shop: Shop, buckets: list[int], asked: object, bare: bool = False) -> tuple:
    """Fit on some buckets; return what `tested` does of them, the models and the slices."""
    slices = shop.slices(buckets, asked.seed, bare)
    slices.learn_vocabulary()
    sources = {part: slices.source(part) for part in shop.split}
    models = compared.Models(sources, slices.vocabulary, asked)
    return *tested(shop, models, slices, buckets), models, slices


def main() -> None:
    """Print the tables; fail when something beats the limit by more than chance."""
    parser = compared.options(__doc__)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--bucket-customers", type=int, default=5_000)
    asked, begun = parser.parse_args(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(asked.customers, 11, Path(folder), asked.bucket_customers)
        print(f"# {shop.buckets} buckets simulated: {time.monotonic() - begun:.0f} s", flush=True)
        held = [n for n in range(shop.buckets) if n % HELD_OUT == HELD_OUT - 1]
        learned = [n for n in range(shop.buckets) if n not in held]
        said, outcomes, keys, apart, models, slices = learned_from(shop, learned, asked)
        if asked.bare:
            bare = learned_from(shop, learned, asked, True)[0]
            said = compared.beside_bare(said, bare, outcomes, keys)
        compared.show("Later days", said, outcomes, keys, LIMIT)
        best = "network" if "network" in said else "LightGBM"
        compared.reliability(best, said[best], outcomes)
        compared.by_slice(said, outcomes, keys, apart)
        if held:
            unseen = shop.slices(held, asked.seed)
            unseen.vocabulary = slices.vocabulary
            new, came, who, _ = tested(shop, models, unseen, held)
            compared.show("Later days of unseen customers", new, came, who, LIMIT)
    print(f"\n# {time.monotonic() - begun:.0f} s in all")
    losses = {n: -np.log(np.where(outcomes, p, 1 - p)).mean() for n, p in said.items()}
    sys.exit(int(losses[LIMIT] > min(losses.values()) + 0.002))


if __name__ == "__main__":
    main()
