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

AT_ONCE = 4_000_000
"""Hashes that are sorted together, about: 32 MB."""
_READ = 1_000_000


def hashes(texts: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a hash of each text, shape (n,): equal within this process when the texts are."""
    return np.fromiter(map(hash, texts.to_pylist()), np.int64, len(texts))


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
