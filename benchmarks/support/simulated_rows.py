"""Rows of a simulated shop, written and read bucket by bucket as the pipeline does."""

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.support.default_encoder import ENCODER
from intent_tasks.core.anchors import evenly
from intent_tasks.core.dataset import Dataset
from intent_tasks.core.vocabulary import vocabulary_sizes
from intent_tasks.definition import Definition
from intent_tasks.models import network
from intent_tasks.models.sizes import Size
from intent_tasks.simulator import Config, simulate
from intent_tasks.stores.snapshots import SCHEMA
from tools.testbed.shops import ORDER, product_columns

DAYS = {"train": (40, 80), "calibrate": (83, 88), "test": (99, 112)}
"""First and last anchor of each split, counted from the first day of the shop."""


def snapshot(config: Config, events: pa.Table) -> pa.Table:
    """Return events of the shop as `snapshots.read` would."""
    renamed = events.rename_columns({"customer_id": "customer_key"})
    table = renamed.join(product_columns(config), "product_id")
    for field in SCHEMA:
        if field.name not in table.column_names:
            table = table.append_column(field.name, pa.nulls(table.num_rows, field.type))
    return table.select(SCHEMA.names).cast(SCHEMA).sort_by(ORDER)


def write_buckets(config: Config, folder: Path, blocks: int = 2) -> None:
    """Write the events of a shop, a file for each bucket of `blocks` of customers."""
    for number, events in enumerate(simulate(config, blocks)):
        pq.write_table(snapshot(config, events), folder / f"{number:04d}.parquet")


def read_dataset(config: Config, folder: Path, anchors: int = 6) -> Dataset:
    """Return the dataset of a shop that was written."""

    def day(number: int) -> date:
        return config.first_day + timedelta(days=number)

    split = {part: evenly(day(first), day(last), anchors) for part, (first, last) in DAYS.items()}
    files = sorted(folder.glob("*.parquet"))
    return Dataset(lambda n: pq.read_table(files[n]), len(files), split, Definition(), seed=7)


def make_dataset(
    customers: int, size: Size, folder: Path, blocks: int = 2
) -> tuple[Dataset, network.Architecture]:
    """Simulate a shop; return its dataset with a vocabulary, and the architecture for it."""
    config = Config(customers=customers, seed=11)
    write_buckets(config, folder, blocks)
    dataset = read_dataset(config, folder, anchors=4)
    dataset.learn_vocabulary()
    sizes = vocabulary_sizes(dataset.vocabulary)
    return dataset, network.Architecture(ENCODER, size, sizes)
