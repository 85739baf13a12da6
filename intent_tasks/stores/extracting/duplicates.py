"""Find texts that come twice among any number, in memory that does not grow with them.

Eight bytes of each are held, and on the disk: they are looked through as often as it takes to sort
a share of them at a time.
"""

import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import AGAIN, CHANGED
from intent_tasks.stores.snapshots import SAME_EVENT, same_as_before

AT_ONCE = 4_000_000
"""Hashes that are sorted together, about: 32 MB."""
_READ = 1_000_000


def hashes(texts: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a hash of each text, shape (n,): equal within this process when the texts are."""
    return np.fromiter(map(hash, texts.to_pylist()), np.int64, len(texts))


def later_copies(rows: pa.Table, number: str) -> tuple[pa.Table, list[str]]:
    """Return the rows whose event_id another row has that comes before them, and the rule of each.

    The earliest arrival comes first; among equals the values decide, never the order of reading. A
    copy of another customer, type or product is another event, and its rule says so.

    Args:
        rows: columns of the spool.
        number: column that numbers them, which does not count.
    """
    first = ["event_id", *(n for n in ("ingested_at", "occurred_at") if n in rows.column_names)]
    others = [name for name in rows.column_names if name not in (*first, number)]
    rows = rows.sort_by([(name, "ascending") for name in (*first, *others)])
    is_later = same_as_before(rows, ["event_id"])
    same = same_as_before(rows, [name for name in SAME_EVENT if name in rows.column_names])
    rules = pc.if_else(same, AGAIN, CHANGED)
    return rows.filter(is_later), rules.filter(is_later).to_pylist()


class Repeats:
    """Hashes in a file without a name, which vanishes with the process.

    Args:
        folder: on the disk that has room for them.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._count = folder, 0
        self._file: IO[bytes] | None = None

    def close(self) -> None:
        """Give the disk back."""
        if self._file is not None:
            # What a full disk does not take of it any more is of no use.
            with suppress(OSError):
                self._file.close()

    def add(self, hashed: npt.NDArray[np.int64]) -> None:
        """Remember some more, shape (n,)."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115
        self._file.write(hashed.tobytes())
        self._count += len(hashed)

    def found(self) -> npt.NDArray[np.int64]:
        """Return those that were added more than once, each once."""
        shares = 1 + self._count // AT_ONCE
        nothing = np.zeros(0, np.int64)
        return np.concatenate([nothing, *(self._twice(n, shares) for n in range(shares))])

    def _twice(self, share: int, shares: int) -> npt.NDArray[np.int64]:
        nothing = np.zeros(0, np.int64)
        ours = [hashed[hashed % shares == share] for hashed in self._read()]
        together = np.concatenate([nothing, *ours])
        together.sort()
        return np.unique(together[1:][together[1:] == together[:-1]])

    def _read(self) -> Iterator[npt.NDArray[np.int64]]:
        if self._file is None:
            return
        self._file.seek(0)
        while told := self._file.read(_READ * 8):
            yield np.frombuffer(told, np.int64)
