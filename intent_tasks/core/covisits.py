"""Which products the same customers deal with on the same day, and vectors that say so.

Sources: Levy & Goldberg 2014, "Neural word embedding as implicit matrix factorization" (positive
pointwise mutual information, factorised); Sarwar et al. 2001, "Item-based collaborative filtering".
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from intent_tasks.core.history import History
from intent_tasks.core.vocabulary import Ints

UNKNOWN_LENGTH = 0.05
"""Length of the random vector that every product has on top."""
MOST_TOGETHER = 50
"""Products of a day beyond which a visitor is no person who chooses: robots look at all."""


def together(events: History, numbers: Ints, count: int) -> Any:  # noqa: ANN401
    """Return on how many days of customers both of two products were dealt with.

    Args:
        events: of some customers.
        numbers: number of the product of each, -1 for none.
        count: of products.

    Returns:
        Sparse, shape (count, count), zeros on the diagonal.
    """
    some = numbers >= 0
    days = events.customer[some].astype(np.int64) * _MOST_DAYS + events.day[some]
    pairs = np.unique(np.stack([days, numbers[some]]), axis=1)
    _, place, size = np.unique(pairs[0], return_inverse=True, return_counts=True)
    kept = size[place] <= MOST_TOGETHER
    shape = (len(size), count)
    held = sparse.csr_array((np.ones(kept.sum()), (place[kept], pairs[1, kept])), shape)
    both = (held.T @ held).tocsr()
    return both - sparse.diags_array(both.diagonal()).tocsr()


_MOST_DAYS = 100_000  # since 1970


def start_vectors(both: Any, width: int, seed: int) -> npt.NDArray[np.float32]:  # noqa: ANN401
    """Return a vector of each product, of about length 1: alike where they are seen together.

    Args:
        both: from `together`.
        width: of the vectors.
        seed: of the iteration's start.
    """
    count, rng = both.shape[0], np.random.default_rng(seed)
    # Not zeros: from vectors that are all zeros nothing is learned.
    vectors = rng.normal(0, UNKNOWN_LENGTH / np.sqrt(width), (count, width)).astype(np.float32)
    pairs, known = both.tocoo(), min(width, count - 1)
    if pairs.nnz == 0:
        return vectors
    total = np.asarray(both.sum(axis=1)).ravel()
    row, column = pairs.coords
    information = np.log(pairs.data * total.sum() / (total[row] * total[column]))
    positive = sparse.csr_array((np.maximum(information, 0), (row, column)), both.shape)
    left, values, _ = svds(positive, known, rng=rng)
    found = left * np.sqrt(np.maximum(values, 0))
    length = np.linalg.norm(found, axis=1, keepdims=True)
    vectors[:, :known] += found / np.maximum(length, 1e-6 * length.max(initial=1.0) + 1e-12)
    return vectors
