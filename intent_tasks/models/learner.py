"""What pretraining learns: the embedding of events, the encoder, and the heads that ask it.

The embedding and the encoder are those that `network.build` makes, so that training on purchases
may begin with them.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from intent_tasks.core.encoding import Encoded
from intent_tasks.core.item_embeddings import Start
from intent_tasks.core.next_event_targets import SEEN, Ahead
from intent_tasks.core.vocabulary import FIRST_CODE
from intent_tasks.models import heads, network
from intent_tasks.models.batches import batches
from intent_tasks.models.hazards import hazard_loss
from intent_tasks.models.heads import Heads, product_loss
from intent_tasks.models.network import Architecture, Network

BATCH = 256
"""Rows of a step."""


class Loss(NamedTuple):
    """What an error of a head costs, and why."""

    weight: float
    reason: str


LOSSES = {
    "gap": Loss(1.0, "When the next visit is, is nearest to the question of the purchase."),
    "event_type": Loss(0.5, "Carts and purchases come after other pasts than views do."),
    "category": Loss(0.5, "Taste: weighs less than the gap because it says what, not whether."),
    "product": Loss(0.3, "Thousands of products: a large loss, which must not drown the others."),
}
"""The one place that says what is learned how much."""


@dataclass(frozen=True)
class Learner:
    """What is learned, together.

    Args:
        network: its embedding of events and its encoder.
        heads: that ask what comes next.
    """

    network: Network
    heads: Heads

    @classmethod
    def of(cls, architecture: Architecture, start: Start) -> "Learner":
        """Build one with fresh weights; `start` is what is known of products."""
        built = cls(network.build(architecture), heads.build(architecture, len(start.kind)))
        built.heads.products.begin(start)
        return built

    @property
    def variables(self) -> list[Any]:
        """All that is learned."""
        read = [*self.network.embed.trainable_variables, *self.network.read.trainable_variables]
        return [*read, *self.heads.variables]

    def state(self, inputs: Any, training: bool = False) -> Any:  # noqa: ANN401 - tensors
        """Return what the encoder says, shape (n, D)."""
        events = self.network.embed(inputs, training=training)
        return self.network.read([events, inputs["place"], inputs["steps"]], training=training)

    def losses(self, inputs: Any, told: dict[str, Any], training: bool) -> dict[str, Any]:  # noqa: ANN401
        """Return the sum of the losses of each head over the rows it can be asked about."""
        state = self.state(inputs, training)
        said = self.heads.following(state, training=training)
        vectors = self.heads.products(state, told["seen"])
        products = product_loss(
            self.heads.products,
            vectors,
            *(told[name] for name in ("seen", "product", "drawn", "often")),
        )
        each = {"gap": hazard_loss(told["gap"], said["gap"]), "product": products}
        for name in ("event_type", "category"):
            wrong = tf.nn.sparse_softmax_cross_entropy_with_logits(told[name], said[name])
            each[name] = tf.where(told[name] >= FIRST_CODE, wrong, 0.0)
        return {name: tf.reduce_sum(loss * told["real"]) for name, loss in each.items()}


def customer_vectors(learner: Learner, encoded: Encoded, ahead: Ahead) -> npt.NDArray[np.float32]:
    """Return the vector of each customer, shape (n, width of the product vectors)."""
    products = learner.heads.products
    vectors = np.empty((len(encoded.customers), products.width + 1), np.float32)
    call = tf.function(
        lambda inputs, seen: products(learner.state(inputs), seen), reduce_retracing=True
    )
    for chosen, real, inputs in batches(encoded, learner.network.size, BATCH):
        seen = tf.reshape(tf.constant(ahead.seen[chosen]), (-1, SEEN))
        vectors[chosen[:real]] = np.asarray(call(inputs, seen))[:real]
    return vectors
