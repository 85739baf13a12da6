"""Vectors of products, from which customers interacted with which products.

Sources: Cremonesi, Koren & Turrin 2010, "Performance of recommender algorithms on top-N
recommendation tasks" (truncated singular value decomposition); Sarwar et al. 2001, "Item-based
collaborative filtering" (cosine similarity).
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from intent_tasks.core.arrays import Float32Array, Float64Array, Int32Array, IntegerArray

RANDOM_LENGTH = 0.05
"""Length of the random vector that is added to every product's vector."""
MIN_RELATIVE_LENGTH = 1e-2
"""Vectors shorter than this share of the longest are not normalised: their direction is noise."""
EXACT_COLUMNS = 1000
"""Maximum number of columns of an exact decomposition; with more columns it is iterative."""
MAX_PRODUCTS_PER_CUSTOMER = 200
"""Customers with more products are left out: they are probably robots."""

Matrix = Any  # a SciPy sparse matrix; SciPy has no type for all of them


def interaction_matrix(
    customers: IntegerArray, numbers: Int32Array, count: int, most: int = MAX_PRODUCTS_PER_CUSTOMER
) -> Matrix:
    """Return which customers interacted with which products.

    Args:
        customers: customer of each event, or another group of events.
        numbers: product number of each event, -1 for none.
        count: number of products.
        most: rows with more products than this are left out.

    Returns:
        Sparse matrix of ones, shape (customers, count).
    """
    named = numbers >= 0
    pairs = np.unique(np.stack([customers[named].astype(np.int64), numbers[named]]), axis=1)
    _, row, size = np.unique(pairs[0], return_inverse=True, return_counts=True)
    chosen = size[row] <= most
    shape = (len(size), count)
    return sparse.csr_array((np.ones(chosen.sum()), (row[chosen], pairs[1, chosen])), shape)


class ItemEmbeddings(NamedTuple):
    """Initial vectors of n products, before pretraining.

    Args:
        product_vectors: vector of each product, shape (n, width).
        category_vectors: vector of each category, shape (categories, width).
        category: category of each product, shape (n,).
        log_popularity: log of the customers of each product relative to the most popular, (n,).
    """

    product_vectors: Float32Array
    category_vectors: Float32Array
    category: Int32Array
    log_popularity: Float32Array

    @classmethod
    def of(
        cls,
        interactions: Matrix,
        category: Int32Array,
        categories: int,
        widths: tuple[int, int],
        seed: int,
    ) -> "ItemEmbeddings":
        """Compute the vectors.

        Args:
            interactions: from `interaction_matrix`, of all customers.
            category: category of each product, shape (n,).
            categories: number of categories.
            widths: widths of the product vectors and of the category vectors.
            seed: seed of the random vectors.
        """
        count = len(category)
        of_category = sparse.csr_array(
            (np.ones(count), (np.arange(count), category)), (count, categories)
        )
        popularity = np.asarray(interactions.sum(axis=0), np.float64)
        log_popularity = np.log1p(popularity).astype(np.float32)
        return cls(
            svd_vectors(interactions, widths[0], seed),
            svd_vectors(interactions @ of_category, widths[1], seed),
            category,
            log_popularity - log_popularity.max(initial=0),
        )


def svd_vectors(interactions: Matrix, width: int, seed: int) -> Float32Array:
    """Return a vector of length near 1 for each column: similar where rows are shared.

    The dot product of two vectors approximates the cosine of their columns in `width` dimensions.

    Args:
        interactions: sparse, shape (customers, count).
        width: width of the vectors.
        seed: seed of the random vectors.
    """
    count, rng = interactions.shape[1], np.random.default_rng(seed)
    # Not zeros: nothing can be learned from vectors that are all zeros.
    vectors = rng.normal(0, RANDOM_LENGTH / np.sqrt(width), (count, width)).astype(np.float32)
    length = np.sqrt(np.maximum(interactions.sum(axis=0), 1))
    scaled = (interactions @ sparse.diags_array(1 / length)).tocsc()
    present = np.flatnonzero(interactions.sum(axis=0))
    directions = _directions(scaled[:, present], width)
    length = np.linalg.norm(directions, axis=1, keepdims=True)
    if directions.size:
        directions = directions / np.maximum(length, MIN_RELATIVE_LENGTH * length.max())
        vectors[present, : directions.shape[1]] += directions
    return vectors


def _directions(scaled: Matrix, width: int) -> Float64Array:
    """Return the columns projected on the strongest singular directions, (columns, ≤ width)."""
    rows, columns = scaled.shape
    if columns <= EXACT_COLUMNS:  # with few directions the iteration would restart at random
        values, vectors = np.linalg.eigh((scaled.T @ scaled).toarray())
        return np.asarray((vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1][:, :width])
    _, lengths, right = svds(scaled, min(width, rows - 1), rng=np.random.default_rng(0))
    return np.asarray(right.T * lengths)
