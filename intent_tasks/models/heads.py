"""What comes next, told from what the encoder says of a past: type, category, gap, and product.

Products are ranked by a dot product of a vector of the customer and a vector of each product, so
that a database can rank them too. The customer's vector is what the encoder says plus the sum of
the vectors of the products seen last, later ones weighing more: what the same customers hold is
near together from the start (`covisits.start_vectors`), and the encoder says where to go on.

Sources: Jean et al. 2015, "On using very large target vocabulary", and Bengio & Senécal 2008 for
the sampled softmax; Kabbur et al. 2013, "FISM", for sums of vectors of products.
"""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers, ops

from intent_tasks.core.ahead import SEEN
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models.network import Architecture

PRODUCT_WIDTH = 64
"""Width of the vectors of products, before their bias: large enough for tens of thousands."""
NEARNESS = 1.5
"""What a likeness of 1 adds to a logit before anything is learned."""
FADING = 0.85
"""Weight of a product seen, in that of the one seen after it, before anything is learned."""
SLOWLY = 0.1
"""How fast vectors of products are learned, in that of the rest: a product is seen few times, and
what is learned fast of few examples is learned by heart."""
NEGATIVES = 1024
"""Products that the next one is told from in a step."""


@keras.saving.register_keras_serializable("intent")
class Products(layers.Layer):  # type: ignore[misc]
    """Vectors of products, the last coordinate a bias; and the vector of a customer among them."""

    def __init__(self, count: int, width: int = PRODUCT_WIDTH, **kwargs: Any) -> None:  # noqa: ANN401
        """Set how many products there are."""
        super().__init__(**kwargs)
        self.count, self.width = count, width
        self.tells = layers.Dense(width, kernel_initializer="zeros", name="tells")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        small = keras.initializers.RandomNormal(0.05)
        each = (self.count, self.width)
        self.start = self.add_weight(shape=each, initializer=small, trainable=False, name="start")
        self.moved = self.add_weight(shape=each, initializer="zeros", name="moved")
        # Products are ordered by frequency; of what Zipf's law says of it, a part is the bias,
        # because what is near is frequent too.
        zipf = -np.log1p(np.arange(self.count, dtype=np.float32))
        self.bias = self.add_weight(
            shape=(self.count,), initializer=lambda *_, **__: ops.convert_to_tensor(zipf / 4)
        )
        fading = np.log(np.expm1(NEARNESS * FADING ** np.arange(SEEN, dtype=np.float32)))
        self.fading = self.add_weight(
            shape=(SEEN,), initializer=lambda *_, **__: ops.convert_to_tensor(fading)
        )
        self.tells.build(shape)

    @property
    def vectors(self) -> Any:  # noqa: ANN401 - a tensor
        """Vectors of products, shape (count, width): they move slowly from where they begin."""
        return self.start + SLOWLY * self.moved

    def call(self, state: Any, seen: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the vectors of customers, shape (n, width + 1), whose last coordinate is 1.

        Args:
            state: what the encoder says, shape (n, D).
            seen: numbers of the products seen last, newest first, -1 for none; (n, SEEN).
        """
        there = ops.cast(seen >= 0, self.compute_dtype) * ops.softplus(self.fading)
        near = ops.take(self.vectors, ops.maximum(seen, 0), axis=0)
        vector = self.tells(state) + ops.einsum("nk,nkw->nw", there, near)
        return ops.concatenate([vector, ops.ones_like(vector[:, :1])], -1)

    def chosen(self, numbers: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the vectors of some products, shape (…, width + 1)."""
        vectors = ops.take(self.vectors, numbers, axis=0)
        return ops.concatenate([vectors, ops.take(self.bias, numbers)[..., None]], -1)

    def begin(self, vectors: npt.NDArray[np.floating]) -> None:
        """Put vectors, shape (count, width), in place of what was drawn."""
        self.start.assign(vectors)

    def table(self) -> npt.NDArray[np.float32]:
        """Return the vectors of all products, shape (count, width + 1)."""
        return np.concatenate([np.asarray(self.vectors), np.asarray(self.bias)[:, None]], axis=1)


@dataclass(frozen=True)
class Heads:
    """The questions beside the purchase.

    Args:
        following: what the encoder says → logits of type, category, and of the hazards of the gap.
        products: ranks products.
    """

    following: keras.Model
    products: Products

    @property
    def variables(self) -> list[Any]:
        """All that is learned."""
        return [*self.following.trainable_variables, *self.products.trainable_variables]


def build(architecture: Architecture, products: int) -> Heads:
    """Build the heads with fresh weights.

    Args:
        architecture: of the network whose encoder they ask.
        products: how many are ranked.
    """
    width, sizes = architecture.size.width, architecture.vocabulary_sizes
    state = keras.Input((width,), name="state")
    asked = {
        "event_type": sizes["event_type"],
        "category": sizes["category_path"],
        "gap": len(HORIZONS_DAYS),
    }
    outputs = {name: layers.Dense(size, name=name)(state) for name, size in asked.items()}
    ranking = Products(max(products, 1), name="products")
    ranking.build((None, width))
    return Heads(keras.Model(state, outputs, name="following"), ranking)


def draw(
    rng: np.random.Generator, products: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return numbers of NEGATIVES products, and the logarithm of how often each is drawn.

    Log-uniform: about as often as a product of that place in the order of frequency is seen.
    """
    high = np.log(products + 1)
    drawn = np.minimum(np.expm1(rng.random(NEGATIVES) * high), products - 1).astype(np.int32)
    share = np.log1p(1 / (drawn + 1.0)) / high
    return drawn, np.log(NEGATIVES * share).astype(np.float32)


def product_loss(
    products: Products,
    vectors: Any,  # noqa: ANN401 - tensors
    seen: Any,  # noqa: ANN401
    target: Any,  # noqa: ANN401
    drawn: Any,  # noqa: ANN401
    often: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    """Return the sampled softmax loss of each customer, shape (n,); 0 where there is no product.

    Args:
        products: the layer.
        vectors: of customers, shape (n, width + 1).
        seen: products that cannot be next, shape (n, SEEN).
        target: the next product, -1: none; shape (n,).
        drawn: products it is told from, shape (k,).
        often: logarithm of how often each of these is drawn, shape (k,).
    """
    right = tf.reduce_sum(vectors * products.chosen(tf.maximum(target, 0)), -1)
    # Each draw stands for as many products as make the sum over all right on average.
    wrong = tf.matmul(vectors, products.chosen(drawn), transpose_b=True) - often
    known = tf.reduce_any(seen[:, :, None] == drawn, 1) | (target[:, None] == drawn)
    wrong = tf.where(known, -1e9, wrong)
    logits = tf.concat([right[:, None], wrong], 1)
    return tf.where(target >= 0, tf.reduce_logsumexp(logits, 1) - right, 0.0)
