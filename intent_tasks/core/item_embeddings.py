"""Which products are held by the same customers, and vectors that say so.

Sources: Cremonesi, Koren & Turrin 2010, "Performance of recommender algorithms on top-N
recommendation tasks" (a truncated decomposition of who held what); Sarwar et al. 2001, "Item-based
collaborative filtering" (the cosine).
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from intent_tasks.core.vocabulary import Ints

UNKNOWN_LENGTH = 0.05
"""Length of the random vector that every product has on top."""
SHORTEST = 1e-2
"""In that of the longest: what is shorter is no direction, but noise."""
FEW = 1000
"""Columns of which all directions are computed; of more only the strongest, by iteration."""
MOST_HELD = 200
"""Products beyond which a customer is no person who chooses: robots look at all."""


def held(who: npt.NDArray[np.integer], numbers: Ints, count: int, most: int = MOST_HELD) -> Any:  # noqa: ANN401
    """Return who held which products.

    Args:
        who: customer of each event, or anything else that holds products.
        numbers: number of the product of each, -1 for none.
        count: of products.
        most: products beyond which nothing is told of a holder.

    Returns:
        Sparse matrix of ones, shape (holders, count).
    """
    some = numbers >= 0
    pairs = np.unique(np.stack([who[some].astype(np.int64), numbers[some]]), axis=1)
    _, place, size = np.unique(pairs[0], return_inverse=True, return_counts=True)
    kept = size[place] <= most
    shape = (len(size), count)
    return sparse.csr_array((np.ones(kept.sum()), (place[kept], pairs[1, kept])), shape)


class Start(NamedTuple):
    """What is known of n products before anything is learned.

    Args:
        own: vector of each, shape (n, width).
        kin: vector of each category, shape (categories, width).
        kind: category of each product, shape (n,).
        often: logarithm of how many hold each, in that of the most frequent, shape (n,).
    """

    own: npt.NDArray[np.float32]
    kin: npt.NDArray[np.float32]
    kind: Ints
    often: npt.NDArray[np.float32]

    @classmethod
    def of(
        cls,
        holders: Any,  # noqa: ANN401
        kind: Ints,
        kinds: int,
        widths: tuple[int, int],
        seed: int,
    ) -> "Start":
        """Find it out.

        Args:
            holders: from `held`, of everybody.
            kind: category of each product, shape (n,).
            kinds: how many categories there are.
            widths: of the vectors of products and of categories.
            seed: of the random vectors below what is known.
        """
        count = len(kind)
        of_kind = sparse.csr_array((np.ones(count), (np.arange(count), kind)), (count, kinds))
        often = np.log1p(np.asarray(holders.sum(axis=0), np.float64)).astype(np.float32)
        return cls(
            start_vectors(holders, widths[0], seed),
            start_vectors(holders @ of_kind, widths[1], seed),
            kind,
            often - often.max(initial=0),
        )


def start_vectors(holders: Any, width: int, seed: int) -> npt.NDArray[np.float32]:  # noqa: ANN401
    """Return a vector of each product, of about length 1: alike where the same ones hold them.

    The dot product of two is the cosine of who held them, in as many directions as there are.

    Args:
        holders: who holds what, or how much of it: sparse, shape (holders, count).
        width: of the vectors.
        seed: of the random vectors.
    """
    count, rng = holders.shape[1], np.random.default_rng(seed)
    # Not zeros: from vectors that are all zeros nothing is learned.
    vectors = rng.normal(0, UNKNOWN_LENGTH / np.sqrt(width), (count, width)).astype(np.float32)
    length = np.sqrt(np.maximum(holders.sum(axis=0), 1))
    scaled = (holders @ sparse.diags_array(1 / length)).tocsc()
    known = np.flatnonzero(holders.sum(axis=0))
    found = _directions(scaled[:, known], width)
    length = np.linalg.norm(found, axis=1, keepdims=True)
    if found.size:
        found = found / np.maximum(length, SHORTEST * length.max())
        vectors[known, : found.shape[1]] += found
    return vectors


def _directions(scaled: Any, width: int) -> npt.NDArray[np.float64]:  # noqa: ANN401
    """Return for each column its part in the strongest directions, shape (columns, up to width)."""
    rows, columns = scaled.shape
    if columns <= FEW:  # of few directions the iteration would begin anew at random
        values, vectors = np.linalg.eigh((scaled.T @ scaled).toarray())
        return np.asarray((vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1][:, :width])
    _, lengths, right = svds(scaled, min(width, rows - 1), rng=np.random.default_rng(0))
    return np.asarray(right.T * lengths)
