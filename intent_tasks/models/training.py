"""Fit the network on rows that are read bit by bit, and stop on a later slice."""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from intent_tasks.core.dataset import Rows
from intent_tasks.core.encoding import Encoded
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import Refused
from intent_tasks.models import checkpoint, distribution
from intent_tasks.models.batches import BATCH, batches
from intent_tasks.models.hazards import hazard_loss, taught_loss
from intent_tasks.models.input_pipeline import Lesson, Teacher, fed
from intent_tasks.models.network import Network, graph
from intent_tasks.models.sizes import Size

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-2
EPOCHS, STEPS = 3, 200
"""Most passes over the training slice, more where it is small, so that they are as many steps as
this; the step size falls to zero over all of them."""
MOST_ROWS = 3_000_000
"""Rows that all passes together need not exceed: a second look tells less than new rows."""
ROUND_STEPS, LOOKS = 600, 8
"""Least steps between two looks at the later slice, and about how many looks there are at most."""
PATIENCE = 3
"""Looks at the later slice without a gain after which the best weights are taken: days repeat their
customers, and a network that goes on learns those by heart."""
JIT_ROWS = 2_000_000
"""Rows read, in all passes, from which compiling by XLA surely costs less than it saves: about ten
seconds of the processor for each shape, of which large shops have a dozen, against about a tenth of
a millisecond in each row; `benchmarks.training` tells both."""


TAUGHT = 3.0
"""Weight of what a teacher says beside what came true: an outcome is mostly chance, a probability
is not. Source: Hinton, Vinyals & Dean 2015, "Distilling the knowledge in a neural network"."""

Source = Callable[[int, int], Iterator[Rows]]
"""Gives the parts of a slice in the order of a pass: number of the pass, parts to leave out."""


@dataclass
class Progress:
    """Where training is: all that goes on after a kill.

    Args:
        epoch: number of the pass.
        parts: parts of the pass that are done.
        best: least loss on the later slice.
        without_gain: looks since then.
        curve: what each look saw.
    """

    epoch: int = 0
    parts: int = 0
    steps: int = 0
    best: float = float("inf")
    without_gain: int = 0
    curve: list[dict[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Plan:
    """How long training lasts.

    Args:
        rows: of the training slice.
        seed: of the order of the rows.
        learning_rate: at the start.
        weight_decay: of AdamW.
        batch: rows of a step.
        jit: compile by XLA; None: when there are enough rows.
        exactly: twice the same bytes; see `network.deterministic`.
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
        """Steps of a pass, about: parts end with a batch that is not full."""
        return max(1, -(-self.rows // self.batch))

    @property
    def epochs(self) -> int:
        """Most passes: more where a shop is small, one where a pass is all that can be paid for."""
        paid = min(EPOCHS, MOST_ROWS // max(self.rows, 1))
        return max(1, paid, STEPS // self.epoch_steps)

    @property
    def round_steps(self) -> int:
        """Least steps between two looks at the later slice, unless a pass is over before."""
        return max(ROUND_STEPS, self.epoch_steps * self.epochs // LOOKS)

    @property
    def compiled(self) -> bool:
        """Whether XLA compiles the steps."""
        return self.rows * self.epochs >= JIT_ROWS if self.jit is None else self.jit


def fit(
    network: Network,
    train: Source,
    later: Source,
    plan: Plan,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    look: Callable[[dict[str, float]], None] = lambda _: None,
    teacher: Teacher | None = None,
) -> list[dict[str, float]]:
    """Fit the weights, and keep those that say most of a later slice of time.

    Returns what was seen of each look: step, losses, learning rate, rows a second, memory.

    Args:
        network: built; changed in place, and left as it is where nothing learned says more.
        train: the training slice.
        later: days after a gap.
        plan: how long it lasts.
        folder: keeps a checkpoint, from which the same call goes on after a kill.
        say: told a line after each look.
        look: told what was seen; may end training by an exception.
        teacher: a model whose probabilities are learned beside what came true.

    Raises:
        Refused: the loss is no number any more.
    """
    schedule = keras.optimizers.schedules.CosineDecay(
        plan.learning_rate, plan.epoch_steps * plan.epochs
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=plan.weight_decay)
    optimizer.build(network.whole.trainable_variables)
    variables = [*network.whole.variables, *optimizer.variables]
    progress, best = Progress(), network.whole.get_weights()
    if folder is not None and (kept := checkpoint.load(folder, variables)) is not None:
        progress, best = Progress(**kept.progress), kept.best
        say(f"goes on after step {progress.steps}")
    else:
        progress.best = loss_of(network, later, plan.compiled)
    step = _step(network, optimizer, plan.compiled, TAUGHT if teacher else 0.0)
    for losses, seconds in _rounds(train, progress, plan, network.size, step, teacher):
        progress.curve.append(_seen(network, later, progress, plan, losses, seconds))
        say(_line(progress.curve[-1], plan))
        look(progress.curve[-1])
        if progress.curve[-1]["later_loss"] < progress.best - 1e-5:
            progress.best, progress.without_gain = progress.curve[-1]["later_loss"], 0
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
    train: Source,
    progress: Progress,
    plan: Plan,
    size: Size,
    step: Callable[..., Any],
    teacher: Teacher | None,
) -> Iterator[tuple[list[Any], float]]:
    """Train; yield losses and seconds since the last look when it is time for the next."""
    losses: list[Any] = []
    begun = time.monotonic()
    while progress.epoch < plan.epochs:
        for rows in train(progress.epoch, progress.parts):
            rng = np.random.default_rng([plan.seed, progress.epoch, progress.parts])
            for batch in fed(rows, size, plan.batch, rng, teacher):
                losses.append(step(*batch))
                if len(losses) % CHECKED == 1:
                    _require_number(float(losses[-1]), progress.steps + len(losses))
            progress.parts += 1
            if len(losses) >= plan.round_steps:
                progress.steps += len(losses)
                yield losses, time.monotonic() - begun
                losses, begun = [], time.monotonic()
        progress.epoch, progress.parts = progress.epoch + 1, 0
        if losses:
            progress.steps += len(losses)
            yield losses, time.monotonic() - begun
            losses, begun = [], time.monotonic()


CHECKED = 50
"""Steps after which it is looked whether the loss is still a number."""


def _step(
    network: Network, optimizer: keras.optimizers.Optimizer, jit: bool, taught_weight: float
) -> Callable[..., Any]:
    """Return the function that learns from one batch and returns its loss."""
    weights = network.whole.trainable_variables
    strategy = tf.distribute.get_strategy()
    replicas = strategy.num_replicas_in_sync

    def learn(inputs: Any, first: Any, taught: Any, weight: Any, total: Any) -> Any:  # noqa: ANN401 - tensors
        with tf.GradientTape() as tape:
            logits = network.whole(inputs, training=True)
            each = hazard_loss(first, logits)
            if taught_weight:
                each += taught_weight * taught_loss(taught, logits)
            loss = tf.reduce_sum(each * weight) / total
        # Dense: finding out which few rows of a table were read costs more than a table of zeros.
        gradients = [tf.convert_to_tensor(each) for each in tape.gradient(loss, weights)]
        optimizer.apply_gradients(zip(gradients, weights, strict=True))  # adds up all replicas'
        return loss

    def alone(inputs: Any, first: Any, taught: Any, weight: Any) -> Any:  # noqa: ANN401 - tensors
        return learn(inputs, first, taught, weight, tf.reduce_sum(weight))

    if replicas == 1:
        first, number = tf.TensorSpec((None,), tf.int32), tf.TensorSpec((None,), tf.float32)
        function: Callable[..., Any] = graph(alone, jit, first, number, number)
        return function

    def together(lesson: Any, total: Any) -> Any:  # noqa: ANN401 - tensors
        losses = strategy.run(learn, (*lesson, total))
        return strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)

    shared = tf.function(together, reduce_retracing=True)
    return lambda *lesson: shared(
        distribution.divided(Lesson(*lesson), replicas), tf.reduce_sum(lesson[-1])
    )


def _seen(
    network: Network,
    later: Source,
    progress: Progress,
    plan: Plan,
    losses: list[Any],
    seconds: float,
) -> dict[str, float]:
    loss = float(np.mean([float(value) for value in losses]))
    _require_number(loss, progress.steps)
    total = plan.epoch_steps * plan.epochs
    return {
        "step": progress.steps,
        "loss": loss,
        "later_loss": loss_of(network, later, plan.compiled),
        "learning_rate": plan.learning_rate
        * 0.5
        * (1 + np.cos(np.pi * min(1.0, progress.steps / total))),
        "rows_per_second": len(losses) * plan.batch / max(seconds, 1e-9),
        "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _require_number(loss: float, steps: int) -> None:
    if not np.isfinite(loss):
        raise Refused(
            f"The loss of the network became {loss} after {steps} steps: nothing is kept. "
            "Look for absurd prices or times in the events of the window."
        )


def _line(seen: dict[str, float], plan: Plan) -> str:
    total = plan.epoch_steps * plan.epochs
    return (
        f"step {seen['step']} of at most {total}: loss {seen['loss']:.4f}, on later days "
        f"{seen['later_loss']:.4f}; {seen['rows_per_second']:.0f} rows a second"
    )


def loss_of(network: Network, slice_: Source, jit: bool = False) -> float:
    """Return the mean loss of a slice."""
    total, count = 0.0, 0
    for rows in slice_(0, 0):
        logits = logits_of(network, rows.encoded, jit)
        total += float(tf.reduce_sum(hazard_loss(rows.first, logits)))
        count += len(rows.first)
    return total / max(count, 1)


def logits_of(
    network: Network, encoded: Encoded, jit: bool | None = None
) -> npt.NDArray[np.float32]:
    """Return the logits of the hazards, shape (n, horizons).

    Args:
        network: trained.
        encoded: n rows.
        jit: compile by XLA; None: when there are enough rows.
    """
    count = len(encoded.customers)
    logits = np.empty((count, len(HORIZONS_DAYS)), np.float32)
    predict = network.predict(count >= JIT_ROWS if jit is None else jit)
    for chosen, real, inputs in batches(encoded, network.size, PREDICTED):
        logits[chosen[:real]] = predict(inputs)[:real]
    return logits


PREDICTED = 256
"""Rows that are predicted at once: few, so that a bucket of some hundred is trimmed well too."""
