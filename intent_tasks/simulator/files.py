"""The simulated shop as Parquet files."""

import errno
import sys
from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.progress import track

from intent_tasks.errors import BadInput
from intent_tasks.simulator.catalogue import catalogue, customers
from intent_tasks.simulator.config import Config
from intent_tasks.simulator.planted import PlantedShop

ANSWERS = "answers.parquet"

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)
"""Error numbers of a full disk or quota."""

BLOCKS_AT_ONCE = 4
"""Blocks in one table: few enough to bound memory, enough for large row groups."""


def write(config: Config, folder: Path, plants: Mapping[str, float] | None = None) -> int:
    """Write events, products and customers into a folder, and the answers if there are plants.

    Returns:
        Number of events.

    Raises:
        BadInput: the folder cannot be created or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _stream([catalogue(config)], folder / "products.parquet")
        _stream([customers(config)], folder / "customers.parquet")
        shop = PlantedShop(config, plants or {})
        rows = _stream(_with_progress(shop, config), folder / "events.parquet")
        (folder / ANSWERS).unlink(missing_ok=True)  # from an earlier shop
        if plants:
            write_answers(shop, folder)
        return rows
    except OSError as error:
        if error.errno in FULL_DISK:
            raise  # the command line explains a full disk
        raise BadInput(
            f"{folder} cannot be written to: {error.strerror}. Name a folder of your own."
        ) from None


def write_answers(shop: PlantedShop, folder: Path) -> None:
    """Write the answers of a shop whose events have been generated."""
    _stream([shop.answers()], folder / ANSWERS)


def _with_progress(shop: PlantedShop, config: Config) -> Iterable[pa.Table]:
    """Yield the events, with a progress bar on a terminal."""
    return track(
        shop.events(BLOCKS_AT_ONCE),
        "Events",
        total=-(-config.blocks // BLOCKS_AT_ONCE),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )


def _stream(tables: Iterable[pa.Table], path: Path) -> int:
    """Write a file atomically, and return the number of its rows."""
    part = path.with_name(f"{path.name}.part")
    tables = iter(tables)
    first = next(tables)
    rows = 0
    try:
        with pq.ParquetWriter(part, first.schema) as writer:
            for table in chain([first], tables):
                writer.write_table(table)
                rows += table.num_rows
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return rows
