"""Which products are held by the same customers, and vectors that say so.

Sources: Cremonesi, Koren & Turrin 2010, "Performance of recommender algorithms on top-N
recommendation tasks" (a truncated decomposition of who held what); Sarwar et al. 2001, "Item-based
collaborative filtering" (the cosine).
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from intent_tasks.core.vocabulary import Ints

UNKNOWN_LENGTH = 0.05
"""Length of the random vector that every product has on top."""
SHORTEST = 1e-2
"""In that of the longest: what is shorter is no direction, but noise."""
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


def start_vectors(holders: Any, width: int, seed: int) -> npt.NDArray[np.float32]:  # noqa: ANN401
    """Return a vector of each product, of about length 1: alike where the same ones hold them.

    The dot product of two is the cosine of who held them, in as many directions as there are.

    Args:
        holders: from `held`, of everybody.
        width: of the vectors.
        seed: of the iteration's start.
    """
    count, rng = holders.shape[1], np.random.default_rng(seed)
    # Not zeros: from vectors that are all zeros nothing is learned.
    vectors = rng.normal(0, UNKNOWN_LENGTH / np.sqrt(width), (count, width)).astype(np.float32)
    length = np.sqrt(np.maximum(holders.sum(axis=0), 1))
    scaled = (holders @ sparse.diags_array(1 / length)).tocsc()
    known = min(width, count - 1, scaled.shape[0] - 1)
    if known < 1 or scaled.nnz == 0:
        return vectors
    _, values, right = svds(scaled, known, rng=rng)
    found = right.T * values
    length = np.linalg.norm(found, axis=1, keepdims=True)
    vectors[:, :known] += found / np.maximum(length, SHORTEST * length.max())
    return vectors
