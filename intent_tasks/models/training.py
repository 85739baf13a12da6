"""Train the network on rows read bucket by bucket, and stop early on a validation split."""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from intent_tasks.core.arrays import Float32Array
from intent_tasks.core.dataset import Rows
from intent_tasks.core.encoding import Encoded
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import Refused
from intent_tasks.models import checkpoint, distribution
from intent_tasks.models.batches import BATCH, batches
from intent_tasks.models.hazards import distillation_loss, hazard_loss
from intent_tasks.models.input_pipeline import Teacher, TrainingBatch, training_batches
from intent_tasks.models.network import Network, graph
from intent_tasks.models.sizes import Size
from intent_tasks.models.tensors import Inputs, Tensor

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2
EPOCHS, MIN_STEPS = 3, 200
"""Maximum number of epochs; small training splits get more, up to `MIN_STEPS` steps in all. The
learning rate decays to zero over them."""
MAX_ROWS = 3_000_000
"""Maximum number of rows in all epochs together: new rows teach more than repeated ones."""
ROUND_STEPS, MAX_VALIDATIONS = 600, 8
"""Minimum number of steps between two validations, and about the maximum number of validations."""
PATIENCE = 3
"""Validations without improvement before training stops. Days repeat the same customers, and
longer training overfits them."""
JIT_ROWS = 2_000_000
"""Number of rows, in all epochs, from which XLA compilation pays off. It costs about ten seconds
for each shape, of which a large shop has a dozen, and saves about a tenth of a millisecond for each
row; see `benchmarks.training`."""
CHECK_STEPS = 50
"""Steps between two checks that the loss is finite."""
PREDICTION_ROWS = 256
"""Rows of one prediction call: few, so that even a bucket of some hundred rows is padded little."""
DISTILLATION_WEIGHT = 3.0
"""Weight of the teacher's probabilities relative to the labels, which are noisier.

Source: Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network".
"""

RowSource = Callable[[int, int], Iterator[Rows]]
"""Yields the buckets of a split; arguments: number of the epoch, number of buckets to skip."""


@dataclass
class Progress:
    """State of training, saved in the checkpoint.

    Args:
        epoch: number of the epoch.
        parts: buckets of the epoch that are done.
        steps: number of steps.
        best: lowest validation loss.
        without_gain: validations since then.
        curve: metrics of each validation.
    """

    epoch: int = 0
    parts: int = 0
    steps: int = 0
    best: float = float("inf")
    without_gain: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """Length of training.

    Args:
        rows: number of training rows.
        seed: seed of the order of the rows.
        learning_rate: at the start.
        weight_decay: of AdamW.
        batch: rows of a step.
        jit: compile by XLA; None: if there are enough rows.
        exactly: reproduce the same bytes; see `network.deterministic`.
    """

    rows: int
    seed: int
    learning_rate: float = LEARNING_RATE
    weight_decay: float = WEIGHT_DECAY
    batch: int = BATCH
    jit: bool | None = None
    exactly: bool = True

    @property
    def epoch_steps(self) -> int:
        """Steps of an epoch, about: the last batch of a bucket is not full."""
        return max(1, -(-self.rows // self.batch))

    @property
    def epochs(self) -> int:
        """Maximum number of epochs: more for few rows, one for very many."""
        affordable = min(EPOCHS, MAX_ROWS // max(self.rows, 1))
        return max(1, affordable, MIN_STEPS // self.epoch_steps)

    @property
    def total_steps(self) -> int:
        """Maximum number of steps."""
        return self.epoch_steps * self.epochs

    @property
    def round_steps(self) -> int:
        """Minimum number of steps between two validations, unless an epoch ends before."""
        return max(ROUND_STEPS, self.total_steps // MAX_VALIDATIONS)

    @property
    def compiled(self) -> bool:
        """Whether XLA compiles the steps."""
        return self.rows * self.epochs >= JIT_ROWS if self.jit is None else self.jit


def fit(
    network: Network,
    train: RowSource,
    validation: RowSource,
    plan: Plan,
    folder: Path | None = None,
    log: Callable[[str], None] = lambda _: None,
    on_validation: Callable[[dict[str, float]], None] = lambda _: None,
    teacher: Teacher | None = None,
) -> list[dict[str, float]]:
    """Train the network, and keep the weights with the lowest validation loss.

    Returns the metrics of each validation: step, losses, learning rate, rows a second, memory.

    Args:
        network: changed in place; it keeps its weights if no validation improves on them.
        train: rows of the training split.
        validation: rows of days after a gap.
        plan: length of training.
        folder: folder of the checkpoint; after a kill, the same call continues from it.
        log: receives a line after each validation.
        on_validation: receives the metrics of each validation; may stop training by an exception.
        teacher: a model whose probabilities the network learns besides the labels.

    Raises:
        Refused: the loss is not finite.
    """
    schedule = keras.optimizers.schedules.CosineDecay(plan.learning_rate, plan.total_steps)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=plan.weight_decay)
    optimizer.build(network.whole.trainable_variables)
    variables = [*network.whole.variables, *optimizer.variables]
    progress, best = Progress(), network.whole.get_weights()
    if folder is not None and (saved := checkpoint.load(folder, variables)) is not None:
        progress, best = Progress(**saved.progress), saved.best
        log(f"training continues after step {progress.steps}")
    else:
        progress.best = mean_loss(network, validation, plan.compiled)
    step = _step(network, optimizer, plan.compiled, DISTILLATION_WEIGHT if teacher else 0.0)
    for losses, seconds in _rounds(train, progress, plan, network.size, step, teacher):
        metrics = _metrics(network, validation, progress, plan, losses, seconds)
        progress.curve.append(metrics)
        log(_line(metrics, plan))
        on_validation(metrics)
        if metrics["validation_loss"] < progress.best - 1e-5:
            progress.best, progress.without_gain = metrics["validation_loss"], 0
            best = network.whole.get_weights()
        else:
            progress.without_gain += 1
        if folder is not None and distribution.rank() == 0:
            checkpoint.save(folder, variables, best, asdict(progress))
        if progress.without_gain >= PATIENCE:
            break
    network.whole.set_weights(best)
    return progress.curve


def _rounds(
    train: RowSource,
    progress: Progress,
    plan: Plan,
    size: Size,
    step: Callable[..., Any],
    teacher: Teacher | None,
) -> Iterator[tuple[list[Any], float]]:
    """Train; before each validation, yield losses and seconds since the last one."""
    losses: list[Any] = []
    started = time.monotonic()
    while progress.epoch < plan.epochs:
        for rows in train(progress.epoch, progress.parts):
            rng = np.random.default_rng([plan.seed, progress.epoch, progress.parts])
            for batch in training_batches(rows, size, plan.batch, rng, teacher):
                losses.append(step(*batch))
                if len(losses) % CHECK_STEPS == 1:
                    _require_finite(float(losses[-1]), progress.steps + len(losses))
            progress.parts += 1
            if len(losses) >= plan.round_steps:
                progress.steps += len(losses)
                yield losses, time.monotonic() - started
                losses, started = [], time.monotonic()
        progress.epoch, progress.parts = progress.epoch + 1, 0
        if losses:
            progress.steps += len(losses)
            yield losses, time.monotonic() - started
            losses, started = [], time.monotonic()


def _step(
    network: Network, optimizer: keras.optimizers.Optimizer, jit: bool, distillation_weight: float
) -> Callable[..., Any]:
    """Return the function that learns from one batch and returns its loss."""
    weights = network.whole.trainable_variables
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync

    def learn(
        inputs: Inputs, first_purchase: Tensor, teacher: Tensor, weight: Tensor, total: Tensor
    ) -> Tensor:
        with tf.GradientTape() as tape:
            logits = network.whole(inputs, training=True)
            losses = hazard_loss(first_purchase, logits)
            if distillation_weight:
                losses += distillation_weight * distillation_loss(teacher, logits)
            loss = tf.reduce_sum(losses * weight) / total
        # Dense: a sparse gradient of an embedding table costs more than a table of zeros.
        gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, weights)]
        optimizer.apply_gradients(zip(gradients, weights, strict=True))  # sums over replicas
        return loss

    def on_one_device(
        inputs: Inputs, first_purchase: Tensor, teacher: Tensor, weight: Tensor
    ) -> Tensor:
        return learn(inputs, first_purchase, teacher, weight, tf.reduce_sum(weight))

    if replicas == 1:
        first, number = tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.float32)
        function: Callable[..., Any] = graph(on_one_device, jit, first, number, number)
        return function

    def on_all_replicas(batch: Inputs, total: Tensor) -> Tensor:
        losses = strategy.run(learn, (*batch, total))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    distributed = tf.function(on_all_replicas, reduce_retracing=True)
    return lambda *batch: distributed(
        distribution.split_batch(TrainingBatch(*batch), replicas), tf.reduce_sum(batch[-1])
    )


def _metrics(
    network: Network,
    validation: RowSource,
    progress: Progress,
    plan: Plan,
    losses: list[Any],
    seconds: float,
) -> dict[str, float]:
    loss = float(np.mean([float(value) for value in losses]))
    _require_finite(loss, progress.steps)
    decay = 0.5 * (1 + np.cos(np.pi * min(1.0, progress.steps / plan.total_steps)))
    return {
        "step": progress.steps,
        "loss": loss,
        "validation_loss": mean_loss(network, validation, plan.compiled),
        "learning_rate": plan.learning_rate * decay,
        "rows_per_second": len(losses) * plan.batch / max(seconds, 1e-9),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _require_finite(loss: float, steps: int) -> None:
    if not np.isfinite(loss):
        raise Refused(
            f"The loss of the network became {loss} after {steps} steps; no model was saved. "
            "Look for absurd prices or times in the events of the window."
        )


def _line(metrics: dict[str, float], plan: Plan) -> str:
    return (
        f"step {metrics['step']} of at most {plan.total_steps}: loss {metrics['loss']:.4f}, "
        f"validation loss {metrics['validation_loss']:.4f}; "
        f"{metrics['rows_per_second']:.0f} rows a second"
    )


def mean_loss(network: Network, source: RowSource, jit: bool = False) -> float:
    """Return the mean loss of a split."""
    total, count = 0.0, 0
    for rows in source(0, 0):
        logits = predict_logits(network, rows.encoded, jit)
        total += float(tf.reduce_sum(hazard_loss(rows.first_purchase, logits)))
        count += len(rows.first_purchase)
    return total / max(count, 1)


def predict_logits(network: Network, encoded: Encoded, jit: bool | None = None) -> Float32Array:
    """Return the logits of the hazards, shape (n, horizons).

    Args:
        network: trained.
        encoded: n rows.
        jit: compile by XLA; None: if there are enough rows.
    """
    count = len(encoded.customers)
    logits = np.empty((count, len(HORIZONS_DAYS)), np.float32)
    predict = network.predict(count >= JIT_ROWS if jit is None else jit)
    for chosen, real, inputs in batches(encoded, network.size, PREDICTION_ROWS):
        logits[chosen[:real]] = predict(inputs)[:real]
    return logits
