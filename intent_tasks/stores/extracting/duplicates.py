"""Find event ids that occur several times in a day, in memory that does not grow with the day.

A file holds a hash of 8 bytes for each id. It is read as often as it takes to sort a share of the
hashes at a time.
"""

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import CHANGED_DUPLICATE, DUPLICATE
from intent_tasks.stores.snapshots import SAME_EVENT, same_as_before

AT_ONCE = 4_000_000
"""Hashes that are sorted together, about: 32 MB."""
_READ = 1_000_000


def hashes(texts: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a hash of each text, shape (n,): equal within this process when the texts are."""
    return np.fromiter(map(hash, texts.to_pylist()), np.int64, len(texts))


class Copies(NamedTuple):
    """The rows of a day whose event_id an earlier row has.

    Args:
        exact: numbers of the rows that repeat an earlier one in all but its arrival.
        others: the other rows, which say something else.
        rules: the rule that each of the others breaks.
    """

    exact: pa.Array
    others: pa.Table
    rules: list[str]


def find_copies(rows: pa.Table, number: str) -> Copies:
    """Find the rows whose event_id an earlier row has.

    The earliest arrival comes first; among equals the values decide, never the order of reading. A
    copy of another customer, type or product is another event, and its rule says so.

    Args:
        rows: columns of the spool.
        number: column that numbers them, which does not count.
    """
    rows = rows.combine_chunks()
    arrival = [name for name in ("ingested_at",) if name in rows.column_names]
    content = sorted(set(rows.column_names) - {*arrival, number})
    rows = rows.sort_by([(name, "ascending") for name in (*content, *arrival)])
    is_exact = _equal_the_row_before(rows, content)
    exact = rows[number].filter(is_exact).combine_chunks()
    rows = rows.filter(pc.invert(is_exact))
    times = [name for name in ("ingested_at", "occurred_at") if name in rows.column_names]
    others = [name for name in rows.column_names if name not in ("event_id", *times, number)]
    rows = rows.sort_by([(name, "ascending") for name in ("event_id", *times, *others)])
    is_later = same_as_before(rows, ["event_id"])
    same = same_as_before(rows, [name for name in SAME_EVENT if name in rows.column_names])
    rules = pc.if_else(same, DUPLICATE, CHANGED_DUPLICATE)
    return Copies(exact, rows.filter(is_later), rules.filter(is_later).to_pylist())


def _equal_the_row_before(rows: pa.Table, names: Iterable[str]) -> pa.Array:
    """Return whether each row equals the row before it in some columns; null equals null."""
    equal = pa.array(np.ones(max(rows.num_rows - 1, 0), bool))
    for name in names:
        values = rows[name].combine_chunks()
        now, before = values[1:], values[:-1]
        both_null = pc.and_(pc.is_null(now), pc.is_null(before))
        same = pc.or_(pc.fill_null(pc.equal(now, before), False), both_null)
        equal = pc.and_(equal, same)
    return pa.concat_arrays([pa.array([False]), equal]).slice(0, rows.num_rows)


class HashFile:
    """Hashes in an unnamed file, which is gone when the process ends.

    Args:
        folder: where the file is made.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._file: IO[bytes] | None = None

    def close(self) -> None:
        """Delete the file."""
        if self._file is not None:
            # On a full disk the last write fails, but nothing reads it any more.
            with suppress(OSError):
                self._file.close()

    def add(self, hashed: npt.NDArray[np.int64]) -> None:
        """Append hashes, shape (n,)."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        self._file.write(hashed.tobytes())
        self._count += len(hashed)

    def repeated(self) -> npt.NDArray[np.int64]:
        """Return the hashes that were added more than once, each once."""
        shares = 1 + self._count // AT_ONCE
        empty = np.zeros(0, np.int64)
        return np.concatenate([empty, *(self._repeated(n, shares) for n in range(shares))])

    def _repeated(self, share: int, shares: int) -> npt.NDArray[np.int64]:
        empty = np.zeros(0, np.int64)
        parts = [hashed[hashed % shares == share] for hashed in self._read()]
        ordered = np.sort(np.concatenate([empty, *parts]))
        return np.unique(ordered[1:][ordered[1:] == ordered[:-1]])

    def _read(self) -> Iterator[npt.NDArray[np.int64]]:
        if self._file is None:
            return
        self._file.seek(0)
        while content := self._file.read(_READ * 8):
            yield np.frombuffer(content, np.int64)
