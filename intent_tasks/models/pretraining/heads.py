"""Heads of pretraining: type, category and gap of the next event, and the next product.

Products are ranked by the dot product of a customer vector and product vectors, so that a database
can rank them too. A product's vector has two parts: its own, and one shared by its category, which
helps rare products. The customer vector is a projection of the encoder's output plus the weighted
mean of the vectors of the recent products; the weight falls with age, and the mean shrinks to zero
for customers with few products. Product vectors start from interactions
(`item_embeddings.ItemEmbeddings`).

Sources: Jean et al. 2015, "On using very large target vocabulary", and Bengio & Senécal 2008 for
the sampled softmax; Kabbur et al. 2013, "FISM", for means of product vectors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers, ops

from intent_tasks.core.arrays import Float32Array, Int32Array
from intent_tasks.core.item_embeddings import ItemEmbeddings, Matrix
from intent_tasks.core.next_event_targets import RECENT_PRODUCTS
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models.network import Architecture
from intent_tasks.models.tensors import LayerOption, Tensor

CATEGORY_WIDTH = 16
"""Width of the part of a product's vector that its category shares."""
MIN_WIDTH, MAX_WIDTH = 64, 256
"""Limits of the width of a product's own part: see `product_width`."""
INITIAL_SCALE = {"product": 15.0, "category": 5.0}
"""Initial weight of each part of the vectors in a logit."""
INITIAL_SHRINKAGE = 3.0
"""Initial number of recent products at which the mean of their vectors is halved."""
POPULARITY_POWER = 0.5
"""Power of a product's popularity from which its bias starts."""
RECENCY_DECAY = 0.9
"""Initial weight of a recent product relative to the next newer one."""
PRODUCT_LEARNING_RATE = 0.03
"""Learning rate of a product's own vector, relative to the other weights: a product has few
examples, and its vector would overfit them."""
NEGATIVES = 1024
"""Number of sampled negative products of a step."""


def product_width(products: int) -> int:
    """Return the width of the own part of `products` vectors: a power of two near 2 √n.

    For a thousand products, more than 64 dimensions gain nothing. For twenty thousand, 64 are too
    few, and ranking by counts of interactions is better.
    """
    near = 2 ** round(np.log2(2 * np.sqrt(max(products, 1))))
    return int(np.clip(near, MIN_WIDTH, MAX_WIDTH))


@keras.saving.register_keras_serializable("intent")
class ProductRanking(layers.Layer):  # type: ignore[misc]
    """Vectors of products, whose last coordinate is a bias, and of customers."""

    def __init__(self, count: int, categories: int, **kwargs: LayerOption) -> None:
        """Set the number of products and of categories."""
        super().__init__(**kwargs)
        self.count, self.categories, self.own_width = count, categories, product_width(count)
        self.width = self.own_width + CATEGORY_WIDTH
        self.projection = layers.Dense(self.width, kernel_initializer="zeros", name="projection")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the weights."""
        own, shared = (self.count, self.own_width), (self.categories, CATEGORY_WIDTH)
        small = keras.initializers.RandomNormal(0.05)
        self.initial = self.add_weight(
            shape=own, initializer=small, trainable=False, name="initial"
        )
        self.change = self.add_weight(shape=own, initializer="zeros", name="change")
        self.by_category = self.add_weight(shape=shared, initializer=small, name="by_category")
        index = {"shape": (self.count,), "dtype": "int32", "initializer": "zeros"}
        self.category = self.add_weight(trainable=False, name="category", **index)
        self.bias = self.add_weight(shape=(self.count,), initializer="zeros", name="bias")
        scale = [np.log(INITIAL_SCALE[part]) for part in ("product", "category")]
        self.log_scale = self.add_weight(shape=(2,), initializer=_constant(scale), name="log_scale")
        decay = np.append(RECENCY_DECAY ** np.arange(RECENT_PRODUCTS), INITIAL_SHRINKAGE)
        weights = _constant(np.log(np.expm1(decay)))
        self.recency_weights = self.add_weight(
            shape=(RECENT_PRODUCTS + 1,), initializer=weights, name="recency_weights"
        )
        self.projection.build(shape)

    def call(self, state: Tensor, recent_products: Tensor) -> Tensor:
        """Return customer vectors, shape (n, width + 1), whose last coordinate is 1.

        Args:
            state: encoder output, shape (n, D).
            recent_products: product numbers, newest first, -1 for none; (n, RECENT_PRODUCTS).
        """
        weights = ops.softplus(self.recency_weights)
        present = ops.cast(recent_products >= 0, self.compute_dtype) * weights[:RECENT_PRODUCTS]
        total = weights[RECENT_PRODUCTS] + ops.sum(present, axis=1, keepdims=True)
        vectors = self.vectors(ops.maximum(recent_products, 0))
        mean = ops.einsum("nk,nkw->nw", present / total, vectors)
        vector = self.projection(state) + mean
        return ops.concatenate([vector, ops.ones_like(vector[:, :1])], -1)

    def vectors(self, numbers: Tensor) -> Tensor:
        """Return vectors of products without their bias, shape (…, width)."""
        change = PRODUCT_LEARNING_RATE * ops.take(self.change, numbers, axis=0)
        own = ops.take(self.initial, numbers, axis=0) + change
        shared = ops.take(self.by_category, ops.take(self.category, numbers), axis=0)
        scale = ops.exp(self.log_scale / 2)  # for each side of the dot product
        return ops.concatenate([scale[0] * own, scale[1] * shared], -1)

    def vectors_with_bias(self, numbers: Tensor) -> Tensor:
        """Return vectors of products, shape (…, width + 1)."""
        return ops.concatenate([self.vectors(numbers), ops.take(self.bias, numbers)[..., None]], -1)

    def initialize(self, embeddings: ItemEmbeddings) -> None:
        """Replace the random vectors by vectors from interactions."""
        self.initial.assign(embeddings.product_vectors)
        self.by_category.assign(embeddings.category_vectors)
        self.category.assign(embeddings.category)
        self.bias.assign(POPULARITY_POWER * embeddings.log_popularity)

    def table(self) -> Float32Array:
        """Return the vectors of all products, shape (count, width + 1)."""
        return np.asarray(self.vectors_with_bias(np.arange(self.count)))


def _constant(values: npt.ArrayLike) -> Callable[..., Tensor]:
    return lambda *_, **__: ops.convert_to_tensor(np.asarray(values, np.float32))


@dataclass(frozen=True)
class Heads:
    """The heads of pretraining.

    Args:
        following: encoder output → logits of type and category, and of the hazards of the gap.
        products: ranks products.
    """

    following: keras.Model
    products: ProductRanking

    @property
    def variables(self) -> list[Any]:
        """The trainable variables."""
        return [*self.following.trainable_variables, *self.products.trainable_variables]


def build(architecture: Architecture, products: int) -> Heads:
    """Build the heads with new weights.

    Args:
        architecture: of the network with the encoder.
        products: number of ranked products.
    """
    width, sizes = architecture.size.width, architecture.vocabulary_sizes
    state = keras.Input((width,), name="state")
    outputs = {
        "event_type": sizes["event_type"],
        "category": sizes["category_path"],
        "gap": len(HORIZONS_DAYS),
    }
    logits = {name: layers.Dense(size, name=name)(state) for name, size in outputs.items()}
    ranking = ProductRanking(max(products, 1), sizes["category_path"], name="products")
    ranking.build((None, width))
    return Heads(keras.Model(state, logits, name="following"), ranking)


def item_embeddings(
    interactions: Matrix, category: Int32Array, architecture: Architecture, seed: int
) -> ItemEmbeddings:
    """Return the initial vectors of products in the widths of the heads.

    Args:
        interactions: from `item_embeddings.interaction_matrix`, of all customers.
        category: code of the category of each product, shape (products,).
        architecture: of the network with the encoder.
        seed: seed of the random vectors.
    """
    categories = architecture.vocabulary_sizes["category_path"]
    widths = product_width(len(category)), CATEGORY_WIDTH
    return ItemEmbeddings.of(interactions, category, categories, widths, seed)


def sample_negatives(rng: np.random.Generator, products: int) -> tuple[Int32Array, Float32Array]:
    """Return NEGATIVES product numbers, and the log of the expected count of each.

    Log-uniform, which approximates the popularity of products sorted by frequency. If there are no
    more products than NEGATIVES, each is returned once.
    """
    if products <= NEGATIVES:
        return np.arange(products, dtype=np.int32), np.zeros(products, np.float32)
    high = np.log(products + 1)
    negatives = np.minimum(np.expm1(rng.random(NEGATIVES) * high), products - 1).astype(np.int32)
    share = np.log1p(1 / (negatives + 1.0)) / high
    return negatives, np.log(NEGATIVES * share).astype(np.float32)


def product_loss(
    products: ProductRanking,
    vectors: Tensor,
    recent_products: Tensor,
    target: Tensor,
    negatives: Tensor,
    log_expected_count: Tensor,
) -> Tensor:
    """Return the sampled softmax loss of each customer, shape (n,); 0 without a next product.

    Args:
        products: the layer.
        vectors: of customers, shape (n, width + 1).
        recent_products: products that cannot be next, shape (n, RECENT_PRODUCTS).
        target: number of the next product, -1 for none; shape (n,).
        negatives: sampled products, shape (k,).
        log_expected_count: log of the expected count of each, shape (k,).
    """
    right = tf.reduce_sum(vectors * products.vectors_with_bias(tf.maximum(target, 0)), -1)
    # The correction makes the sum over the sample equal the full sum in expectation.
    wrong = tf.matmul(vectors, products.vectors_with_bias(negatives), transpose_b=True)
    wrong = wrong - log_expected_count
    excluded = tf.reduce_any(recent_products[:, :, None] == negatives, 1)
    wrong = tf.where(excluded | (target[:, None] == negatives), -1e9, wrong)
    logits = tf.concat([right[:, None], wrong], 1)
    return tf.where(target >= 0, tf.reduce_logsumexp(logits, 1) - right, 0.0)
