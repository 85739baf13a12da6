"""Keep rows on disk between the warehouse and snapshots, because a day need not fit into memory.

The files have no name, because they hold data of customers: they are gone when the process ends.
"""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.stores.atomic_files import private_folder

BYTES_AT_ONCE = 96 * 2**20
"""Bytes of a bucket that are read at a time."""


class Spool:
    """Rows with a customer_key, kept apart by compartment and read back by ranges of the key.

    Args:
        folder: where the files are made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[int, IO[bytes]] = {}
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}
        self._bytes: dict[int, int] = {}

    def __enter__(self) -> Self:
        private_folder(self._folder)
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            # On a full disk the last write fails, but nothing reads it any more.
            with suppress(OSError):
                file.close()

    def add(self, compartments: npt.NDArray[np.int64], rows: pa.Table) -> None:
        """Write each row to its compartment.

        Args:
            compartments: number of the compartment of each row, shape (n,).
            rows: n rows, always of the same columns.
        """
        order = np.argsort(compartments, kind="stable")
        ordered = rows.take(pa.array(order)).combine_chunks()
        numbers, starts = np.unique(compartments[order], return_index=True)
        ends = [*starts[1:].tolist(), rows.num_rows]
        for number, start, end in zip(numbers.tolist(), starts.tolist(), ends, strict=True):
            self._write(number, ordered.slice(start, end - start))

    def _write(self, number: int, rows: pa.Table) -> None:
        if number not in self._files:
            self._files[number] = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
            self._writers[number] = pa.ipc.new_stream(self._files[number], rows.schema)
            self._bytes[number] = 0
        self._writers[number].write_table(rows)
        self._bytes[number] += rows.nbytes

    def read(self, number: int) -> Iterator[pa.Table]:
        """Yield the rows of a compartment in parts, each of a higher range of keys.

        A part holds all rows of its customers, in the order in which they were added.
        """
        if number not in self._files:
            return
        parts = 1 + self._bytes[number] // BYTES_AT_ONCE
        bounds = [f"{part * 2**32 // parts:08x}" for part in range(parts)]
        for low, high in zip(bounds, [*bounds[1:], "g"], strict=True):
            yield self._between(number, low, high)

    def blocks(self, number: int) -> Iterator[pa.Table]:
        """Yield the rows of a compartment in the order in which they were added."""
        if number in self._files:
            for block in self._stream(number):
                yield pa.Table.from_batches([block])

    def _stream(self, number: int) -> pa.RecordBatchStreamReader:
        self._writers[number].close()
        file = self._files[number]
        file.seek(0)
        return pa.ipc.open_stream(file)

    def _between(self, number: int, low: str, high: str) -> pa.Table:
        stream = self._stream(number)
        blocks = [
            block.filter(
                pc.and_(
                    pc.greater_equal(block["customer_key"], low),
                    pc.less(block["customer_key"], high),
                )
            )
            for block in stream
        ]
        return pa.Table.from_batches(blocks, stream.schema)
