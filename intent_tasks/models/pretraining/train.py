"""Pretrain event embedding and encoder to predict the next event of all customers.

Source: Radford et al. 2018, "Improving language understanding by generative pre-training".
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any, NamedTuple

import keras
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import tensorflow as tf
from scipy import sparse

from intent_tasks.core.anchors import MIN_HISTORY_DAYS, evenly
from intent_tasks.core.encoding import Encoded
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.item_embeddings import interaction_matrix
from intent_tasks.core.next_event_targets import (
    NextEventTargets,
    frequent_products,
    next_event_targets,
    product_categories,
    product_numbers,
)
from intent_tasks.core.vocabulary import Vocabulary, learn_vocabulary, vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, Definition
from intent_tasks.errors import Refused
from intent_tasks.models.batches import batches
from intent_tasks.models.network import Architecture, deterministic
from intent_tasks.models.pretraining.heads import item_embeddings, sample_negatives
from intent_tasks.models.pretraining.losses import BATCH, LOSSES, Learner
from intent_tasks.models.sizes import Size
from intent_tasks.models.tensors import Inputs, Tensor

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2
EPOCHS = 12
"""Maximum number of epochs; the learning rate decays to zero over them."""
PATIENCE = 2
"""Epochs without improvement, for any purpose, before training stops."""
MIN_ROWS = 100
"""Minimum number of training rows with a next event."""

MAX_ANCHORS = 30
"""Maximum number of training anchors: neighbouring days are nearly equal."""
VALIDATION_DAYS = 3
"""Number of validation anchors, the last days."""

Examples = Sequence[tuple[Encoded, NextEventTargets]]
"""Encoded customers and their targets, one bucket each."""


PURPOSES = ("total", "product")
"""Losses by which weights are chosen: to start training from, and to rank products."""


class Epochs(NamedTuple):
    """Results of the epochs.

    Args:
        curve: validation loss of each head after each epoch, in nats.
        weights: purpose → the variables of the learner after the best epoch for it.
    """

    curve: list[dict[str, float]]
    weights: dict[str, list[npt.NDArray[Any]]]

    def best(self, purpose: str) -> int:
        """Return the number of the best epoch for a purpose, from 0."""
        return int(np.argmin([round(losses[purpose], 4) for losses in self.curve]))

    def add(self, losses: dict[str, float], variables: list[Any]) -> None:
        """Add an epoch, and save the variables for each purpose that it is the best for."""
        self.curve.append(losses)
        for purpose in PURPOSES:
            if self.best(purpose) == len(self.curve) - 1:
                self.weights[purpose] = [np.asarray(variable) for variable in variables]

    def restore(self, learner: Learner, purpose: str) -> None:
        """Set a learner to the variables saved for a purpose."""
        for variable, values in zip(learner.variables, self.weights[purpose], strict=True):
            variable.assign(values)


def fit(
    learner: Learner,
    train: Examples,
    validation: Examples,
    seed: int,
    log: Callable[[str], None] = lambda _: None,
    learning_rate: float = LEARNING_RATE,
) -> Epochs:
    """Train a learner, and save the weights with the lowest validation losses.

    The learner ends with the weights of the lowest total loss, from which training starts. The
    weights that rank products best are saved too, because the loss of products and those of the
    other heads are lowest after different epochs.

    Args:
        learner: with new weights; changed in place.
        train: training examples.
        validation: examples of days after a gap.
        seed: seed of the order of rows and of the negatives.
        log: receives a line after each epoch.
        learning_rate: at the start.

    Raises:
        Refused: there are too few rows, or the loss is not finite.
    """
    rows = sum(int((targets.gap < len(HORIZONS_DAYS)).sum()) for _, targets in train)
    if rows < MIN_ROWS or not sum(len(targets.gap) for _, targets in validation):
        raise Refused(
            f"Only {rows} training rows have a next event; {MIN_ROWS} and a later day to validate "
            "on are needed. Load more history, or train without pretraining."
        )
    steps = sum(-(-len(targets.gap) // BATCH) for _, targets in train) * EPOCHS
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY, clipnorm=1.0)
    optimizer.build(learner.variables)
    step = _step(learner, optimizer)
    evaluate = tf.function(learner.losses, reduce_retracing=True)
    epochs = Epochs([], {name: [np.asarray(v) for v in learner.variables] for name in PURPOSES})
    for epoch in range(EPOCHS):
        for inputs, targets in _batches(learner, train, np.random.default_rng([seed, epoch])):
            loss = step(inputs, targets)
        losses = _validation_losses(learner, validation, evaluate, seed)
        if not np.isfinite(losses["total"] + float(loss)):
            raise Refused("The loss of pretraining is not finite: look for absurd prices.")
        log(f"epoch {epoch + 1} of at most {EPOCHS}: " + _line(losses))
        epochs.add(losses, learner.variables)
        if all(epoch - epochs.best(name) >= PATIENCE for name in PURPOSES):
            break
    epochs.restore(learner, "total")
    return epochs


def _line(losses: dict[str, float]) -> str:
    return "validation loss " + ", ".join(f"{name} {loss:.4f}" for name, loss in losses.items())


def _step(learner: Learner, optimizer: keras.optimizers.Optimizer) -> Callable[..., Any]:
    weights = learner.variables

    def step(inputs: Inputs, targets: dict[str, Tensor]) -> Tensor:
        with tf.GradientTape() as tape:
            losses = learner.losses(inputs, targets, training=True)
            rows = tf.reduce_sum(targets["real"])
            loss = sum(losses[name] * each.weight for name, each in LOSSES.items()) / rows
        gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, weights)]
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return loss

    function: Callable[..., Any] = tf.function(step, reduce_retracing=True)
    return function


def _batches(
    learner: Learner, examples: Examples, rng: np.random.Generator, shuffled: bool = True
) -> Iterator[tuple[Inputs, dict[str, Tensor]]]:
    """Yield inputs and targets, a batch at a time."""
    products = learner.heads.products.count
    order = rng.permutation(len(examples)) if shuffled else range(len(examples))
    for bucket in order:
        encoded, targets = examples[bucket]
        size = learner.network.size
        for chosen, real, inputs in batches(encoded, size, BATCH, rng if shuffled else None):
            negatives, log_expected_count = sample_negatives(rng, products)
            values = vars(targets.select(chosen)) | {
                "negatives": negatives,
                "log_expected_count": log_expected_count,
                "real": (np.arange(len(chosen)) < real).astype(np.float32),
            }
            del values["has_product"]
            yield inputs, {name: tf.constant(each) for name, each in values.items()}


def _validation_losses(
    learner: Learner, validation: Examples, evaluate: Callable[..., Any], seed: int
) -> dict[str, float]:
    """Return the mean loss of each head, and their weighted total."""
    sums, rows = dict.fromkeys(LOSSES, 0.0), 0.0
    # The same negatives each time, so that epochs can be compared.
    rng = np.random.default_rng(seed)
    for inputs, targets in _batches(learner, validation, rng, shuffled=False):
        for name, loss in evaluate(inputs, targets, training=False).items():
            sums[name] += float(loss)
        rows += float(tf.reduce_sum(targets["real"]))
    means = {name: loss / rows for name, loss in sums.items()}
    return means | {"total": sum(means[name] * each.weight for name, each in LOSSES.items())}


@dataclass(frozen=True)
class Plan:
    """What is pretrained, and on which days.

    Args:
        encoder: name of the encoder.
        size: of the network.
        definition: population, history and time zone.
        first: shop day of the first events.
        until: last shop day whose events may be used.
        seed: seed of weights, order of rows and negatives.
    """

    encoder: str
    size: Size
    definition: Definition
    first: date
    until: date
    seed: int


@dataclass(frozen=True)
class Learned:
    """Result of pretraining.

    Args:
        learner: with the weights of the lowest total validation loss.
        ranker: a learner with the weights that rank products best.
        architecture: of their networks.
        vocabulary: codes of the values.
        products: ids of the ranked products, in the order of their numbers.
        curve: validation losses after each epoch.
        rows: number of training rows.
    """

    learner: Learner
    ranker: Learner
    architecture: Architecture
    vocabulary: Vocabulary
    products: list[str]
    curve: list[dict[str, float]]
    rows: int

    @property
    def best(self) -> dict[str, float]:
        """Validation losses after the epoch with the lowest total."""
        return min(self.curve, key=lambda losses: losses["total"])


def learn(
    tables: Sequence[pa.Table], plan: Plan, log: Callable[[str], None] = lambda _: None
) -> Learned:
    """Pretrain on tables of events, each of other customers.

    Args:
        tables: from `snapshots.read`; no event is later than `plan.until`.
        plan: what is pretrained.
        log: receives a line after each epoch.

    Raises:
        Refused: as `days_of` and `fit`.
    """
    train_days, validation_days = days_of(plan.first, plan.until)
    vocabulary, products = learn_vocabulary(tables), frequent_products(tables)
    train: list[tuple[Encoded, NextEventTargets]] = []
    validation: list[tuple[Encoded, NextEventTargets]] = []
    interactions, categories = [], np.zeros(len(products), np.int32)
    for table in tables:
        everything = event_arrays(table, vocabulary, plan.definition.time_zone)
        numbers = product_numbers(table, products)
        interactions.append(interaction_matrix(everything.customer, numbers, len(products)))
        categories = np.maximum(categories, product_categories(everything, numbers, len(products)))
        for examples, days in ((train, train_days), (validation, validation_days)):
            examples.append(next_event_targets(everything, numbers, plan.definition, days))
    deterministic(plan.seed)
    architecture = Architecture(plan.encoder, plan.size, vocabulary_sizes(vocabulary))
    embeddings = item_embeddings(sparse.vstack(interactions), categories, architecture, plan.seed)
    learner, ranker = (Learner.of(architecture, embeddings) for _ in range(2))
    epochs = fit(learner, train, validation, plan.seed, log)
    epochs.restore(ranker, "product")
    rows = sum(len(targets.gap) for _, targets in train)
    return Learned(learner, ranker, architecture, vocabulary, products, epochs.curve, rows)


def days_of(first: date, until: date) -> tuple[list[date], list[date]]:
    """Return the training and the validation anchors, a gap of the longest horizon apart.

    Args:
        first: day of the first events.
        until: last day whose events may be used.

    Raises:
        Refused: there are too few days.
    """
    gap = timedelta(days=max(HORIZONS_DAYS))
    last = until - gap
    first_validation = last - timedelta(days=VALIDATION_DAYS - 1)
    start, end = first + timedelta(days=MIN_HISTORY_DAYS), first_validation - gap
    if end < start:
        raise Refused(
            f"From {first} to {until} there are too few days to pretrain: two gaps of {gap.days} "
            f"days and {MIN_HISTORY_DAYS} of history. Load more history, or do not pretrain."
        )
    return evenly(start, end, MAX_ANCHORS), evenly(first_validation, last, VALIDATION_DAYS)
