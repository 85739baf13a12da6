"""The simulated shop as Parquet files."""

import errno
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from intent_tasks.errors import BadInput
from intent_tasks.simulator.catalogue import catalogue, customers
from intent_tasks.simulator.config import Config
from intent_tasks.simulator.planted import PlantedShop

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)

BLOCKS_AT_ONCE = 4
"""Bounds memory, and is enough for row groups of good size."""


def write(config: Config, folder: Path, plants: Mapping[str, float] | None = None) -> int:
    """Write events, products and customers into a folder; and answers, where there are plants.

    Returns:
        Events written.

    Raises:
        BadInput: the folder cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _stream([catalogue(config)], folder / "products.parquet")
        _stream([customers(config)], folder / "customers.parquet")
        shop = PlantedShop(config, plants or {})
        rows = _stream(shop.events(BLOCKS_AT_ONCE), folder / "events.parquet")
        if plants:
            write_answers(shop, folder)
        return rows
    except OSError as error:
        if error.errno in FULL_DISK:
            raise  # not the folder's fault, and told as such by the command line
        raise BadInput(
            f"{folder} cannot be written to: {error.strerror}. Name a folder of your own."
        ) from None


def write_answers(shop: PlantedShop, folder: Path) -> None:
    """Write what was planted into a shop whose events have been made."""
    _stream([shop.answers()], folder / "answers.parquet")


def _stream(tables: Iterable[pa.Table], path: Path) -> int:
    rows = 0
    writer = None
    for table in tables:
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        rows += table.num_rows
    if writer:
        writer.close()
    return rows
