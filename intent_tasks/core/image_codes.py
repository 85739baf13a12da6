"""Image embeddings of products: compressed to a short text, then clustered into codes.

An event carries a text of at most `PROJECTED_LENGTH` numbers. Longer embeddings are projected onto
fixed random signs, which nearly preserves angles (Achlioptas, "Database-friendly random
projections", 2003). The projection is not learned, so images of different days can be compared. The
text starts with the length of the embedding: embeddings of different lengths are not comparable.
"""

from base64 import b64encode
from binascii import a2b_base64
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

PROJECTED_LENGTH = 32
"""Maximum number of values of a compressed embedding."""
CLUSTERED_IMAGES = 20_000
"""Number of images that are clustered, the most frequent; bounds the time."""
_EMBEDDING, _PICTURE = "image_embedding", "picture"

Numbers = npt.NDArray[np.float64]


def compress_embeddings(products: pa.Table) -> pa.Table:
    """Replace the column `image_embedding` by `picture`, a text or null."""
    if _EMBEDDING not in products.column_names:
        return products
    column = products.column_names.index(_EMBEDDING)
    texts = pa.chunked_array(
        [_encode_all(each) for each in products[_EMBEDDING].chunks], pa.string()
    )
    return products.set_column(column, _PICTURE, texts)


def _encode_all(embeddings: pa.ListArray) -> pa.Array:
    lengths = pc.fill_null(pc.list_value_length(embeddings), 0).to_numpy()
    texts = np.full(len(embeddings), None, object)
    for length in np.unique(lengths[lengths > 0]).tolist():
        rows = np.flatnonzero(lengths == length)
        flat = pc.list_flatten(embeddings.take(pa.array(rows))).to_numpy(zero_copy_only=False)
        values = flat.reshape(-1, length).astype(np.float64)
        size = np.linalg.norm(values, axis=1)
        usable = np.isfinite(size) & (size > 0)
        projected = _project(values[usable] / size[usable, None]).astype("<f2")
        texts[rows[usable]] = [_encode(length, row) for row in projected]
    return pa.array(texts, pa.string())


def _project(values: Numbers) -> Numbers:
    length = values.shape[1]
    return (
        values @ _random_signs(length) / np.sqrt(PROJECTED_LENGTH)
        if length > PROJECTED_LENGTH
        else values
    )


@cache
def _random_signs(length: int) -> Numbers:
    """Return random signs, shape (length, PROJECTED_LENGTH), the same on every machine."""
    hashed = pd.util.hash_array(np.arange(length * PROJECTED_LENGTH, dtype=np.uint64))
    return np.where(hashed >> np.uint64(32) & np.uint64(1), 1.0, -1.0).reshape(
        length, PROJECTED_LENGTH
    )


def _encode(length: int, numbers: npt.NDArray[Any]) -> str:
    return f"{length}:{b64encode(numbers.astype('<f2').tobytes()).decode()}"


def _decode(pictures: Sequence[str]) -> tuple[npt.NDArray[np.int64], Numbers]:
    """Return the lengths of embeddings, shape (n,), and their numbers, (n, PROJECTED_LENGTH)."""
    parts = [text.partition(":") for text in pictures]
    contents = [a2b_base64(encoded) for _, _, encoded in parts]
    sizes = np.array([len(content) // 2 for content in contents], np.intp)
    numbers = np.zeros((len(pictures), PROJECTED_LENGTH))
    numbers[np.arange(PROJECTED_LENGTH) < sizes[:, None]] = np.frombuffer(b"".join(contents), "<f2")
    return np.array([int(length) for length, _, _ in parts], np.int64), numbers


def cluster_centres(counted: Mapping[str, int], most: int) -> list[str]:
    """Return the centres of clusters of similar images, as texts of images.

    Args:
        counted: image → count; only images of the most frequent length are clustered.
        most: maximum number of clusters.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    by_length = Counter[int]()
    for text, count in counted.items():
        by_length[int(text.partition(":")[0])] += count
    if not by_length:
        return []
    length = max(by_length, key=lambda each: (by_length[each], each))
    candidates = [(-n, text) for text, n in counted.items() if text.startswith(f"{length}:")]
    chosen = sorted(candidates)[:CLUSTERED_IMAGES]
    numbers = _decode([text for _, text in chosen])[1]
    with threadpool_limits(1):  # the order of a sum changes its rounding
        clusters = KMeans(min(most, len(chosen)), n_init=1, random_state=0).fit(
            numbers, sample_weight=[-n for n, _ in chosen]
        )
    size = min(length, PROJECTED_LENGTH)
    return list(dict.fromkeys(_encode(length, each[:size]) for each in clusters.cluster_centers_))


def nearest_centre(pictures: Sequence[str], centres: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the index of the nearest centre of each image, shape (n,).

    -1 where there is no centre, or the length of the embedding differs from that of the centres.
    """
    if not (pictures and centres):
        return np.full(len(pictures), -1)
    lengths, numbers = _decode(pictures)
    centre_lengths, centre_numbers = _decode(centres)
    return np.where(lengths == centre_lengths[0], vq(numbers, centre_numbers)[0], -1)
