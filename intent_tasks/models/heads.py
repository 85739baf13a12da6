"""What comes next, told from what the encoder says of a past: type, category, gap, and product.

Products are ranked by a dot product of a vector of the customer and a vector of each product, so
that a database can rank them too. A product's vector has two parts: its own, and one that all of
its category share, from which rare products are told. The customer's vector is what the encoder
says plus the mean of the vectors of the products seen last, later ones weighing more, and pulled to
nothing where few were seen. What the same customers hold is near together from the start
(`covisits.Start`), and the encoder says where to go on.

Sources: Jean et al. 2015, "On using very large target vocabulary", and Bengio & Senécal 2008 for
the sampled softmax; Kabbur et al. 2013, "FISM", for means of vectors of products.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import layers, ops

from intent_tasks.core.item_embeddings import Start
from intent_tasks.core.next_event_targets import SEEN
from intent_tasks.core.vocabulary import Ints
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.models.network import Architecture

KIN_WIDTH = 16
"""Width of the part of a product's vector that its category shares."""
LEAST_WIDTH, MOST_WIDTH = 64, 256
"""Of the part that is its own: see `own_width`."""
NEARNESS = {"own": 15.0, "kin": 5.0}
"""What a likeness of 1 to all that was seen adds to a logit, before anything is learned."""
DOUBT = 3.0
"""Products seen that tell half of what very many would, before anything is learned."""
FREQUENT = 0.5
"""Power of a product's frequency that its bias begins with: what is near is frequent too."""
FADING = 0.9
"""Weight of a product seen, in that of the one seen after it, before anything is learned."""
SLOWLY = 0.03
"""How fast a product's own vector is learned, in that of the rest: a product is seen few times, and
what is learned fast of few examples is learned by heart."""
NEGATIVES = 1024
"""Products that the next one is told from in a step."""


def own_width(products: int) -> int:
    """Return the width of a product's own vector, among `products`: a power of two near 2 √n.

    Of a thousand products more than 64 numbers rank now better, now worse; of twenty thousand 64
    tell too few apart, and counting who holds what ranks better.
    """
    near = 2 ** round(np.log2(2 * np.sqrt(max(products, 1))))
    return int(np.clip(near, LEAST_WIDTH, MOST_WIDTH))


@keras.saving.register_keras_serializable("intent")
class Products(layers.Layer):  # type: ignore[misc]
    """Vectors of products, the last coordinate a bias; and the vector of a customer among them."""

    def __init__(self, count: int, kinds: int, **kwargs: Any) -> None:  # noqa: ANN401
        """Set how many products and categories there are."""
        super().__init__(**kwargs)
        self.count, self.kinds, self.own_width = count, kinds, own_width(count)
        self.width = self.own_width + KIN_WIDTH
        self.tells = layers.Dense(self.width, kernel_initializer="zeros", name="tells")

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Make the weights."""
        own, kin = (self.count, self.own_width), (self.kinds, KIN_WIDTH)
        small = keras.initializers.RandomNormal(0.05)
        self.start = self.add_weight(shape=own, initializer=small, trainable=False, name="start")
        self.moved = self.add_weight(shape=own, initializer="zeros", name="moved")
        self.kin = self.add_weight(shape=kin, initializer=small, name="kin")
        kind = {"shape": (self.count,), "dtype": "int32", "initializer": "zeros"}
        self.kind = self.add_weight(trainable=False, name="kind", **kind)
        self.bias = self.add_weight(shape=(self.count,), initializer="zeros", name="bias")
        near = [np.log(NEARNESS[part]) for part in ("own", "kin")]
        self.near = self.add_weight(shape=(2,), initializer=_exactly(near), name="near")
        fading = np.append(FADING ** np.arange(SEEN), DOUBT)
        weights = _exactly(np.log(np.expm1(fading)))
        self.weights_of_seen = self.add_weight(shape=(SEEN + 1,), initializer=weights, name="seen")
        self.tells.build(shape)

    def call(self, state: Any, seen: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the vectors of customers, shape (n, width + 1), whose last coordinate is 1.

        Args:
            state: what the encoder says, shape (n, D).
            seen: numbers of the products seen last, newest first, -1 for none; (n, SEEN).
        """
        weights = ops.softplus(self.weights_of_seen)
        there = ops.cast(seen >= 0, self.compute_dtype) * weights[:SEEN]
        there = there / (weights[SEEN] + ops.sum(there, axis=1, keepdims=True))
        near = ops.einsum("nk,nkw->nw", there, self.vectors(ops.maximum(seen, 0)))
        vector = self.tells(state) + near
        return ops.concatenate([vector, ops.ones_like(vector[:, :1])], -1)

    def vectors(self, numbers: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the vectors of some products without their bias, shape (…, width)."""
        own = ops.take(self.start, numbers, axis=0) + SLOWLY * ops.take(self.moved, numbers, axis=0)
        kin = ops.take(self.kin, ops.take(self.kind, numbers), axis=0)
        near = ops.exp(self.near / 2)  # of each side of the product
        return ops.concatenate([near[0] * own, near[1] * kin], -1)

    def chosen(self, numbers: Any) -> Any:  # noqa: ANN401 - tensors
        """Return the vectors of some products, shape (…, width + 1)."""
        return ops.concatenate([self.vectors(numbers), ops.take(self.bias, numbers)[..., None]], -1)

    def begin(self, start: Start) -> None:
        """Put in place of what was drawn what is known before anything is learned."""
        self.start.assign(start.own)
        self.kin.assign(start.kin)
        self.kind.assign(start.kind)
        self.bias.assign(FREQUENT * start.often)

    def table(self) -> npt.NDArray[np.float32]:
        """Return the vectors of all products, shape (count, width + 1)."""
        return np.asarray(self.chosen(np.arange(self.count)))


def _exactly(values: npt.ArrayLike) -> Callable[..., Any]:
    return lambda *_, **__: ops.convert_to_tensor(np.asarray(values, np.float32))


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
    ranking = Products(max(products, 1), sizes["category_path"], name="products")
    ranking.build((None, width))
    return Heads(keras.Model(state, outputs, name="following"), ranking)


def start(holders: Any, kind: Ints, architecture: Architecture, seed: int) -> Start:  # noqa: ANN401
    """Return what is known of products before anything is learned, as wide as the heads want it.

    Args:
        holders: from `covisits.held`, of everybody.
        kind: code of the category of each product, shape (products,).
        architecture: of the network whose encoder the heads ask.
        seed: of the random vectors below what is known.
    """
    kinds = architecture.vocabulary_sizes["category_path"]
    return Start.of(holders, kind, kinds, (own_width(len(kind)), KIN_WIDTH), seed)


def draw(
    rng: np.random.Generator, products: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Return numbers of NEGATIVES products, and the logarithm of how often each is drawn.

    Log-uniform: about as often as a product of that place in the order of frequency is seen. Where
    there are no more products than that, each of them once.
    """
    if products <= NEGATIVES:
        return np.arange(products, dtype=np.int32), np.zeros(products, np.float32)
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
