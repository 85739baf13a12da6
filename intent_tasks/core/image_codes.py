"""Pictures of products: an embedding as a few numbers, and groups of pictures that look alike.

An embedding may be of any length, and events are many: what travels with an event is a text of at
most `NUMBERS` numbers. Longer embeddings are projected onto fixed random signs, which nearly keeps
angles (Achlioptas, "Database-friendly random projections", 2003) and needs nothing to be learned,
so that pictures of different days can be compared. The text begins with the length of the
embedding: those of another length are of another space.
"""

from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy.cluster.vq import vq

NUMBERS = 32
"""Of a picture, at most."""
LEARNED_FROM = 20_000
"""Most frequent pictures that groups are learned from; bounds time."""
_EMBEDDING, _PICTURE = "image_embedding", "picture"

Numbers = npt.NDArray[np.float64]


def with_pictures(products: pa.Table) -> pa.Table:
    """Return products with `picture`, a text or null, in place of `image_embedding`."""
    if _EMBEDDING not in products.column_names:
        return products
    place = products.column_names.index(_EMBEDDING)
    told = pa.chunked_array([_told(each) for each in products[_EMBEDDING].chunks], pa.string())
    return products.set_column(place, _PICTURE, told)


def _told(embeddings: pa.ListArray) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(embeddings), 0).to_numpy()
    told = np.full(len(embeddings), None, object)
    for length in np.unique(lengths[lengths > 0]).tolist():
        rows = np.flatnonzero(lengths == length)
        flat = pc.list_flatten(embeddings.take(pa.array(rows))).to_numpy(zero_copy_only=False)
        values = flat.reshape(-1, length).astype(np.float64)
        size = np.linalg.norm(values, axis=1)
        usable = np.isfinite(size) & (size > 0)
        few = _projected(values[usable] / size[usable, None]).astype("<f2")
        told[rows[usable]] = [_text(length, row) for row in few]
    return pa.array(told, pa.string())


def _projected(values: Numbers) -> Numbers:
    length = values.shape[1]
    return values @ _signs(length) / np.sqrt(NUMBERS) if length > NUMBERS else values


@cache
def _signs(length: int) -> Numbers:
    """Return random signs, shape (length, NUMBERS), the same on every machine."""
    hashed = pd.util.hash_array(np.arange(length * NUMBERS, dtype=np.uint64))
    return np.where(hashed >> np.uint64(32) & np.uint64(1), 1.0, -1.0).reshape(length, NUMBERS)


def _text(length: int, numbers: npt.NDArray[Any]) -> str:
    return f"{length}:{b64encode(numbers.astype('<f2').tobytes()).decode()}"


def _read(pictures: Sequence[str]) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Return the lengths of embeddings, shape (n,), and their numbers, shape (n, NUMBERS)."""
    lengths = np.empty(len(pictures), np.int64)
    numbers = np.zeros((len(pictures), NUMBERS))
    for n, (length, _, told) in enumerate(text.partition(":") for text in pictures):
        lengths[n] = int(length)
        values = np.frombuffer(b64decode(told), "<f2")
        numbers[n, : len(values)] = values
    return lengths, numbers


def groups(counted: Mapping[str, int], most: int) -> list[str]:
    """Return the centres of groups of pictures that look alike, as texts of pictures.

    Args:
        counted: picture → how often it was seen; those of the most frequent length are grouped.
        most: groups at most.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    seen = Counter[int]()
    for text, count in counted.items():
        seen[int(text.partition(":")[0])] += count
    if not seen:
        return []
    length = max(seen, key=lambda each: (seen[each], each))
    ours = [(-n, text) for text, n in counted.items() if text.startswith(f"{length}:")]
    chosen = sorted(ours)[:LEARNED_FROM]
    numbers = _read([text for _, text in chosen])[1]
    with threadpool_limits(1):  # sums in another order are other sums
        found = KMeans(min(most, len(chosen)), n_init=1, random_state=0).fit(
            numbers, sample_weight=[-n for n, _ in chosen]
        )
    kept = min(length, NUMBERS)
    return list(dict.fromkeys(_text(length, each[:kept]) for each in found.cluster_centers_))


def nearest(pictures: Sequence[str], centres: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the place of the centre that each picture is nearest to, shape (n,).

    -1 where there is no centre, or the picture's embedding is of another length than theirs.
    """
    if not (pictures and centres):
        return np.full(len(pictures), -1)
    lengths, numbers = _read(pictures)
    known, middle = _read(centres)
    return np.where(lengths == known[0], vq(numbers, middle)[0], -1)
