"""Find texts that come twice among many millions, in eight bytes each."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa


def hashes(texts: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.int64]:
    """Return a hash of each text, shape (n,): equal within this process when the texts are."""
    return np.fromiter(map(hash, texts.to_pylist()), np.int64, len(texts))


def repeated(parts: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Return the hashes that occur more than once in all parts together, each once, sorted."""
    together = np.concatenate([np.zeros(0, np.int64), *parts])
    together.sort()
    return np.unique(together[1:][together[1:] == together[:-1]])
