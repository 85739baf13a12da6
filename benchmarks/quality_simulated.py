"""Every model compared with the best possible prediction on the simulated shop.

Split by time with gaps of the longest horizon, as the step `window` does; intervals by a bootstrap
over customers. Further tables are by cohort, and of customers of whom no day was trained on. Rows
are read bucket by bucket: memory does not grow with customers, except for the trees' rows.

Command: `python -m benchmarks.quality_simulated [--customers 200000] [--encoder gru]`
"""

import argparse
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.support import compare_models
from intent_tasks.core.anchors import split_days
from intent_tasks.core.cohorts import cohorts_of
from intent_tasks.core.dataset import Dataset, Rows
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from intent_tasks.simulator import Config, customers, simulate
from intent_tasks.simulator.bayes_optimal import probabilities
from intent_tasks.simulator.config import BLOCK
from intent_tasks.simulator.observed import observe
from tools.testbed.shops import ORDER, product_columns, without_content

FIRST_ANCHOR_DAY = 35
HELD_OUT = 10
"""One in this many buckets is not trained on."""
LIMIT = "limit"


class Shop:
    """The simulated shop in buckets on disk, with the exact probabilities of its test days."""

    def __init__(self, count: int, seed: int, folder: Path, bucket_customers: int) -> None:
        """Simulate a shop of `count` customers, `bucket_customers` in memory at once."""
        self.config, self.folder = Config(customers=count, seed=seed), folder
        first = self.config.first_day + timedelta(days=FIRST_ANCHOR_DAY)
        last = self.config.last_day - timedelta(days=max(HORIZONS_DAYS))
        split = split_days(first, last)
        assert split is not None
        self.split = {"train": split.train, "calibrate": split.calibrate, "test": split.test}
        products = product_columns(self.config)
        people = customers(self.config)
        self.buckets, self.exact = 0, {}
        for events in simulate(self.config, max(1, bucket_customers // BLOCK)):
            self._write_bucket(events, products, people)

    def _write_bucket(self, events: pa.Table, products: pa.Table, people: pa.Table) -> None:
        present = pc.unique(events["customer_id"])
        customers_here = people.filter(pc.is_in(people["customer_id"], value_set=present))
        observed = observe(self.config, events, customers_here)
        names = customers_here["customer_id"].to_pylist()
        for anchor in self.split["test"]:
            day = (anchor - self.config.first_day).days
            exact = probabilities(self.config, observed, day, [MAIN_HORIZON_DAYS])[:, 0]
            self.exact[self.buckets, anchor] = dict(zip(names, exact, strict=True))
        table = events.join(products, "product_id").rename_columns({"customer_id": "customer_key"})
        pq.write_table(table.sort_by(ORDER), self.folder / f"{self.buckets}.parquet")
        self.buckets += 1

    def dataset(self, buckets: list[int], seed: int, bare: bool = False) -> Dataset:
        """Return the dataset of some buckets; bare: without titles and pictures."""

        def read(number: int) -> pa.Table:
            events = pq.read_table(self.folder / f"{buckets[number]}.parquet")
            return without_content(events) if bare else events

        return Dataset(read, len(buckets), self.split, Definition(), seed)

    def limit(self, bucket: int, rows: Rows) -> np.ndarray:
        """Return the exact probabilities of the test rows of a bucket."""
        keys, codes = rows.encoded.events.keys, rows.encoded.customers
        anchor, exact = -1, np.empty(len(codes))
        for n, code in enumerate(codes):
            anchor += n == 0 or code <= codes[n - 1]  # codes rise within an anchor
            exact[n] = self.exact[bucket, self.split["test"][anchor]][keys[code]]
        return exact


def predict_test_rows(
    shop: Shop, models: compare_models.Models, dataset: Dataset, buckets: list[int]
) -> tuple:
    """Return predictions, outcomes, customer keys and cohorts of the test rows."""
    predictions, outcomes, keys, cohorts = [], [], [], []
    for bucket, rows in zip(buckets, dataset.source("test")(0, 0), strict=True):
        predictions.append({**models.predict(rows), LIMIT: shop.limit(bucket, rows)})
        outcomes.append(rows.purchased_within(MAIN_HORIZON_DAYS))
        keys.append(rows.encoded.events.keys[rows.encoded.customers])
        cohorts.append(cohorts_of(rows, dataset.vocabulary))
    rows_of = np.concatenate(outcomes), np.concatenate(keys).astype(str)
    return compare_models.concatenate(predictions), *rows_of, compare_models.concatenate(cohorts)


def fit_and_test(
    shop: Shop, buckets: list[int], options: argparse.Namespace, bare: bool = False
) -> tuple:
    """Fit on some buckets; return the result of `predict_test_rows`, the models and the dataset."""
    dataset = shop.dataset(buckets, options.seed, bare)
    dataset.learn_vocabulary()
    sources = {part: dataset.source(part) for part in shop.split}
    models = compare_models.Models(sources, dataset.vocabulary, options)
    return *predict_test_rows(shop, models, dataset, buckets), models, dataset


def main() -> None:
    """Print the tables; fail when something beats the limit by more than chance."""
    parser = compare_models.options(__doc__)
    parser.add_argument("--customers", type=int, default=200_000)
    parser.add_argument("--bucket-customers", type=int, default=5_000)
    given, start = parser.parse_args(), time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(given.customers, 11, Path(folder), given.bucket_customers)
        print(f"# {shop.buckets} buckets simulated: {time.monotonic() - start:.0f} s", flush=True)
        held_out = [n for n in range(shop.buckets) if n % HELD_OUT == HELD_OUT - 1]
        trained_on = [n for n in range(shop.buckets) if n not in held_out]
        predictions, outcomes, keys, cohorts, models, dataset = fit_and_test(
            shop, trained_on, given
        )
        if given.bare:
            bare = fit_and_test(shop, trained_on, given, True)[0]
            predictions = compare_models.compare_bare(predictions, bare, outcomes, keys)
        compare_models.print_metrics("Later days", predictions, outcomes, keys, LIMIT)
        best = "network" if "network" in predictions else "LightGBM"
        compare_models.print_reliability(best, predictions[best], outcomes)
        compare_models.print_cohorts(predictions, outcomes, keys, cohorts)
        if held_out:
            unseen = shop.dataset(held_out, given.seed)
            unseen.vocabulary = dataset.vocabulary
            *test_rows, _ = predict_test_rows(shop, models, unseen, held_out)
            compare_models.print_metrics("Later days of unseen customers", *test_rows, LIMIT)
    print(f"\n# {time.monotonic() - start:.0f} s in all")
    losses = {n: -np.log(np.where(outcomes, p, 1 - p)).mean() for n, p in predictions.items()}
    sys.exit(int(losses[LIMIT] > min(losses.values()) + 0.002))


if __name__ == "__main__":
    main()
