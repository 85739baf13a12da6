"""Learn to read pasts from all events of everybody: what comes next, label or not.

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

from intent_tasks.core.anchors import evenly
from intent_tasks.core.encoding import Encoded
from intent_tasks.core.event_arrays import history
from intent_tasks.core.item_embeddings import held
from intent_tasks.core.next_event_targets import (
    Ahead,
    ahead_of,
    kinds_of,
    learn_products,
    numbers_of,
)
from intent_tasks.core.vocabulary import (
    Vocabulary,
    learn_vocabulary,
    vocabulary_sizes,
)
from intent_tasks.definition import HORIZONS_DAYS, Definition
from intent_tasks.errors import Refused
from intent_tasks.models import heads
from intent_tasks.models.batches import batches
from intent_tasks.models.heads import draw
from intent_tasks.models.learner import BATCH, LOSSES, Learner
from intent_tasks.models.network import Architecture, deterministic
from intent_tasks.models.sizes import Size

LEARNING_RATE, WEIGHT_DECAY = 1e-3, 1e-2
EPOCHS = 12
"""Most passes; the step size falls to zero over all of them."""
PATIENCE = 2
"""Passes without a gain on later days, for any purpose, after which the best weights are taken."""
LEAST_ROWS = 100
"""Pasts after which something happens, below which there is nothing to learn from."""

MOST_ANCHORS = 30
"""Days whose pasts are learned; neighbouring days tell nearly the same."""
LATER_DAYS = 3
"""Last days, looked at to know when to stop."""
LEAST_HISTORY_DAYS = 14
"""Days of events before the first anchor."""

Lessons = Sequence[tuple[Encoded, Ahead]]
"""Pasts and what came next, of one bucket of customers each."""


PURPOSES = ("total", "product")
"""What weights are kept for, by the loss that is least: to begin training with, and to rank."""


class Passes(NamedTuple):
    """What passes over the past gave.

    Args:
        curve: what was seen after each: the mean loss of each head on later days, in nats.
        kept: purpose → the variables of the learner after the best pass for it.
    """

    curve: list[dict[str, float]]
    kept: dict[str, list[npt.NDArray[Any]]]

    def best(self, purpose: str) -> int:
        """Return the number of the best pass for a purpose, from 0."""
        return int(np.argmin([round(seen[purpose], 4) for seen in self.curve]))

    def add(self, seen: dict[str, float], variables: list[Any]) -> None:
        """Keep the variables for each purpose that no pass before served so well."""
        self.curve.append(seen)
        for purpose in PURPOSES:
            if self.best(purpose) == len(self.curve) - 1:
                self.kept[purpose] = [np.asarray(variable) for variable in variables]

    def give(self, learner: Learner, purpose: str) -> None:
        """Let a learner go on from what was kept for a purpose."""
        for variable, values in zip(learner.variables, self.kept[purpose], strict=True):
            variable.assign(values)


def fit(
    learner: Learner,
    train: Lessons,
    later: Lessons,
    seed: int,
    say: Callable[[str], None] = lambda _: None,
    learning_rate: float = LEARNING_RATE,
) -> "Passes":
    """Learn what comes next, and keep the weights that say most of later days.

    The learner ends with those of the pass whose losses are least in all, from which training goes
    on. Products gain when the other heads have begun to learn by heart, or the other way round: the
    weights of the pass that ranks products best are kept beside them.

    Args:
        learner: with fresh weights; changed in place.
        train: pasts to learn from.
        later: pasts of days after a gap.
        seed: of the order of rows and the products drawn.
        say: told a line after each pass.
        learning_rate: at the start.

    Raises:
        Refused: there is too little to learn from, or the loss is no number any more.
    """
    rows = sum(int((ahead.gap < len(HORIZONS_DAYS)).sum()) for _, ahead in train)
    if rows < LEAST_ROWS or not sum(len(ahead.gap) for _, ahead in later):
        raise Refused(
            f"After {rows} pasts something happens on the days to learn from; {LEAST_ROWS} and a "
            "day after them are needed. Load more history, or train without pretraining."
        )
    steps = sum(-(-len(ahead.gap) // BATCH) for _, ahead in train) * EPOCHS
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=WEIGHT_DECAY, clipnorm=1.0)
    optimizer.build(learner.variables)
    step, look = _step(learner, optimizer), tf.function(learner.losses, reduce_retracing=True)
    passes = Passes([], {name: [np.asarray(v) for v in learner.variables] for name in PURPOSES})
    for epoch in range(EPOCHS):
        for inputs, told in _fed(learner, train, np.random.default_rng([seed, epoch])):
            loss = step(inputs, told)
        seen = _seen(learner, later, look, seed)
        if not np.isfinite(seen["total"] + float(loss)):
            raise Refused("The loss of pretraining is no number any more: look for absurd prices.")
        say(f"pass {epoch + 1} of at most {EPOCHS}: " + _line(seen))
        passes.add(seen, learner.variables)
        if all(epoch - passes.best(name) >= PATIENCE for name in PURPOSES):
            break
    passes.give(learner, "total")
    return passes


def _line(seen: dict[str, float]) -> str:
    return "on later days " + ", ".join(f"{name} {loss:.4f}" for name, loss in seen.items())


def _step(learner: Learner, optimizer: keras.optimizers.Optimizer) -> Callable[..., Any]:
    weights = learner.variables

    def step(inputs: Any, told: Any) -> Any:  # noqa: ANN401 - tensors
        with tf.GradientTape() as tape:
            losses = learner.losses(inputs, told, training=True)
            rows = tf.reduce_sum(told["real"])
            loss = sum(losses[name] * each.weight for name, each in LOSSES.items()) / rows
        gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, weights)]
        optimizer.apply_gradients(zip(gradients, weights, strict=True))
        return loss

    function: Callable[..., Any] = tf.function(step, reduce_retracing=True)
    return function


def _fed(
    learner: Learner, lessons: Lessons, rng: np.random.Generator, shuffled: bool = True
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Yield inputs and what is told about them, a batch at a time."""
    products = learner.heads.products.count
    order = rng.permutation(len(lessons)) if shuffled else range(len(lessons))
    for place in order:
        encoded, ahead = lessons[place]
        size = learner.network.size
        for chosen, real, inputs in batches(encoded, size, BATCH, rng if shuffled else None):
            drawn, often = draw(rng, products)
            told = vars(ahead.only(chosen)) | {"drawn": drawn, "often": often}
            told["real"] = (np.arange(len(chosen)) < real).astype(np.float32)
            del told["some"]
            yield inputs, {name: tf.constant(values) for name, values in told.items()}


def _seen(
    learner: Learner, later: Lessons, look: Callable[..., Any], seed: int
) -> dict[str, float]:
    """Return the mean loss of each head, and the total as it is weighted."""
    sums, rows = dict.fromkeys(LOSSES, 0.0), 0.0
    # The same products are drawn each time, so that passes can be compared.
    for inputs, told in _fed(learner, later, np.random.default_rng(seed), shuffled=False):
        for name, loss in look(inputs, told, training=False).items():
            sums[name] += float(loss)
        rows += float(tf.reduce_sum(told["real"]))
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
        until: last shop day of which anything may be known.
        seed: of weights, order of rows and products drawn.
    """

    encoder: str
    size: Size
    definition: Definition
    first: date
    until: date
    seed: int


@dataclass(frozen=True)
class Learned:
    """What came of it.

    Args:
        learner: with the weights that say most of later days.
        ranker: the same, with those that rank products best.
        architecture: of its network.
        vocabulary: codes of the values it knows.
        products: ids of the products that are ranked, in the order of their numbers.
        curve: what was seen after each pass.
        rows: pasts that were learned from.
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
        """What was seen after the pass whose weights are kept."""
        return min(self.curve, key=lambda seen: seen["total"])


def learn(
    tables: Sequence[pa.Table], plan: Plan, say: Callable[[str], None] = lambda _: None
) -> Learned:
    """Pretrain on tables of events, each of other customers.

    Args:
        tables: as `snapshots.read` returns them; nothing in them happened after `plan.until`.
        plan: what is learned.
        say: told a line after each pass.

    Raises:
        Refused: as `days_of` and `fit`.
    """
    train_days, later_days = days_of(plan.first, plan.until)
    vocabulary, products = learn_vocabulary(tables), learn_products(tables)
    train: list[tuple[Encoded, Ahead]] = []
    later: list[tuple[Encoded, Ahead]] = []
    holders, kinds = [], np.zeros(len(products), np.int32)
    for table in tables:
        everything = history(table, vocabulary, plan.definition.time_zone)
        numbers = numbers_of(table, products)
        holders.append(held(everything.customer, numbers, len(products)))
        kinds = np.maximum(kinds, kinds_of(everything, numbers, len(products)))
        for lessons, days in ((train, train_days), (later, later_days)):
            lessons.append(ahead_of(everything, numbers, plan.definition, days))
    deterministic(plan.seed)
    architecture = Architecture(
        plan.encoder,
        plan.size,
        vocabulary_sizes(vocabulary),
    )
    start = heads.start(sparse.vstack(holders), kinds, architecture, plan.seed)
    learner, ranker = (Learner.of(architecture, start) for _ in range(2))
    passes = fit(learner, train, later, plan.seed, say)
    passes.give(ranker, "product")
    rows = sum(len(ahead.gap) for _, ahead in train)
    return Learned(learner, ranker, architecture, vocabulary, products, passes.curve, rows)


def days_of(first: date, until: date) -> tuple[list[date], list[date]]:
    """Return the anchors to learn from and those to look at, a gap of the longest horizon apart.

    Args:
        first: day of the first events.
        until: last day of which an outcome may be known.

    Raises:
        Refused: there are too few days.
    """
    gap = timedelta(days=max(HORIZONS_DAYS))
    last = until - gap
    later = last - timedelta(days=LATER_DAYS - 1)
    start, end = first + timedelta(days=LEAST_HISTORY_DAYS), later - gap
    if end < start:
        raise Refused(
            f"From {first} to {until} there are too few days to pretrain: two gaps of {gap.days} "
            f"days and {LEAST_HISTORY_DAYS} of history. Load more history, or do not pretrain."
        )
    return evenly(start, end, MOST_ANCHORS), evenly(later, last, LATER_DAYS)
