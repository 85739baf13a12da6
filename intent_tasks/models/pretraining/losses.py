"""The model of pretraining: event embedding, encoder and heads.

Embedding and encoder are those of `network.build`, so that training on purchases can start from
them.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from intent_tasks.core.arrays import Float32Array
from intent_tasks.core.encoding import Encoded
from intent_tasks.core.item_embeddings import ItemEmbeddings
from intent_tasks.core.next_event_targets import RECENT_PRODUCTS, NextEventTargets
from intent_tasks.core.vocabulary import FIRST_CODE
from intent_tasks.models import network
from intent_tasks.models.batches import batches
from intent_tasks.models.hazards import hazard_loss
from intent_tasks.models.network import Architecture, Network
from intent_tasks.models.pretraining import heads
from intent_tasks.models.pretraining.heads import Heads, product_loss
from intent_tasks.models.tensors import Inputs, Tensor

BATCH = 256
"""Rows of a step."""


class Loss(NamedTuple):
    """Weight of the loss of a head, and the reason for it."""

    weight: float
    reason: str


LOSSES = {
    "gap": Loss(1.0, "The time of the next visit is closest to the time of the next purchase."),
    "event_type": Loss(0.5, "Carts and purchases follow other events than views do."),
    "category": Loss(0.5, "Taste: what a customer buys matters less here than whether they buy."),
    "product": Loss(0.3, "Thousands of products make a large loss, which must not dominate."),
}
"""Head → its loss: the only place with these weights."""


@dataclass(frozen=True)
class Learner:
    """Network and heads that are pretrained together.

    Args:
        network: of which the event embedding and the encoder are trained.
        heads: predict what comes next.
    """

    network: Network
    heads: Heads

    @classmethod
    def of(cls, architecture: Architecture, embeddings: ItemEmbeddings) -> "Learner":
        """Build a learner with new weights and initial product vectors."""
        built = cls(
            network.build(architecture), heads.build(architecture, len(embeddings.category))
        )
        built.heads.products.initialize(embeddings)
        return built

    @property
    def variables(self) -> list[Any]:
        """The trainable variables."""
        encoder = [*self.network.embed.trainable_variables, *self.network.read.trainable_variables]
        return [*encoder, *self.heads.variables]

    def state(self, inputs: Inputs, training: bool = False) -> Tensor:
        """Return the encoder output, shape (n, D)."""
        events = self.network.embed(inputs, training=training)
        return self.network.read([events, inputs["place"], inputs["steps"]], training=training)

    def losses(
        self, inputs: Inputs, targets: dict[str, Tensor], training: bool
    ) -> dict[str, Tensor]:
        """Return the loss of each head, summed over the rows that have a target."""
        state = self.state(inputs, training)
        logits = self.heads.following(state, training=training)
        vectors = self.heads.products(state, targets["recent_products"])
        names = ("recent_products", "product", "negatives", "log_expected_count")
        products = product_loss(self.heads.products, vectors, *(targets[name] for name in names))
        losses = {"gap": hazard_loss(targets["gap"], logits["gap"]), "product": products}
        for name in ("event_type", "category"):
            entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(targets[name], logits[name])
            losses[name] = tf.where(targets[name] >= FIRST_CODE, entropy, 0.0)
        return {name: tf.reduce_sum(loss * targets["real"]) for name, loss in losses.items()}


def customer_vectors(learner: Learner, encoded: Encoded, targets: NextEventTargets) -> Float32Array:
    """Return the vector of each customer, shape (n, width of the product vectors)."""
    products = learner.heads.products
    vectors = np.empty((len(encoded.customers), products.width + 1), np.float32)
    call = tf.function(
        lambda inputs, recent: products(learner.state(inputs), recent), reduce_retracing=True
    )
    for chosen, real, inputs in batches(encoded, learner.network.size, BATCH):
        recent = tf.constant(targets.recent_products[chosen])
        recent = tf.reshape(recent, (-1, RECENT_PRODUCTS))
        vectors[chosen[:real]] = np.asarray(call(inputs, recent))[:real]
    return vectors
