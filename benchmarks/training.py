"""Training speed of the network, compared with `keras.fit` of the same network on the same rows.

Plain: usual Keras layers (`tools/testbed/padded_network.py`), every row padded to full length, no
XLA, all rows in memory. Ours: events without padding, batches prepared while earlier ones are
trained on; with and without XLA. Also: the share of the machine's peak of matrix products, and the
memory for shops of two sizes.
Claims: 2.5 × plain; memory does not grow with the number of customers (that of buckets does).
Command: `python -m benchmarks.training [nano|small|base]` (minutes).
Seconds are processor seconds of all threads: other programs on the machine do not count.
"""

import argparse
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import numpy as np
import tensorflow as tf

from benchmarks.support.arguments import arguments_of
from benchmarks.support.default_encoder import ENCODER
from benchmarks.support.simulated_rows import make_dataset, read_dataset, write_buckets
from intent_tasks.core.dataset import Rows
from intent_tasks.models import hazards, network, training
from intent_tasks.models.batches import BATCH, batches
from intent_tasks.models.input_pipeline import training_batches
from intent_tasks.models.sizes import size_of
from intent_tasks.simulator import Config
from tools.testbed import padded_network

CUSTOMERS, PLAIN_BATCHES, ROUNDS = 2000, 3, 2
SHOPS = 1000, 4000
"""Customers of the shops whose memory is compared."""
LEAST_SPEED_RATIO, MAX_MEMORY_RATIO = 2.5, 1.1
"""Claims: speed over that of plain; memory of the largest shop over that of the smallest."""


def plain_pass(architecture: network.Architecture, rows: Rows) -> Callable[[], int]:
    """Return a function that fits once with `keras.fit` and returns the number of rows."""
    size, count = architecture.size, PLAIN_BATCHES * BATCH
    chosen = np.random.default_rng(7).permutation(len(rows.first_purchase))[:count]
    inputs = padded_network.padded(rows.encoded, chosen, size)
    model = padded_network.build(architecture, network.build(architecture))
    model.compile(keras.optimizers.AdamW(1e-3), loss=hazards.hazard_loss, jit_compile=False)

    def learn() -> int:
        model.fit(inputs, rows.first_purchase[chosen], batch_size=BATCH, epochs=1, verbose=0)
        return count

    return learn


def our_pass(architecture: network.Architecture, rows: Rows, jit: bool) -> Callable[[], int]:
    """Return a function that makes one pass of our training and returns the number of rows."""
    built = network.build(architecture)
    optimizer = keras.optimizers.AdamW(1e-3)
    optimizer.build(built.whole.trainable_variables)
    step = training._step(built, optimizer, jit, training.DISTILLATION_WEIGHT)

    def learn() -> int:
        for batch in training_batches(rows, architecture.size, BATCH, np.random.default_rng(7)):
            loss = step(*batch)
        float(loss)
        return len(rows.first_purchase)

    return learn


def measure(passes: dict[str, Callable[[], int]]) -> Iterator[tuple[str, float, float]]:
    """Yield name, best rows a second of several rounds, and the seconds of the first pass."""
    first = {name: _seconds(learn)[1] for name, learn in passes.items()}
    best = dict.fromkeys(passes, 0.0)
    for _ in range(ROUNDS):
        for name, learn in passes.items():
            count, seconds = _seconds(learn)
            best[name] = max(best[name], count / seconds)
    for name in passes:
        yield name, best[name], first[name]


def _seconds(learn: Callable[[], int]) -> tuple[int, float]:
    start = time.process_time()
    return learn(), time.process_time() - start


def peak_flops() -> float:
    """Return the floating-point operations a second of a large matrix product."""
    side, rounds = 2048, 5
    matrix = tf.random.normal((side, side))
    product = tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix)))
    float(product())
    start = time.process_time()
    for _ in range(rounds):
        float(product())
    return rounds * 2 * side**3 / (time.process_time() - start)


def flops_per_row(built: network.Network, rows: Rows) -> float:
    """Return the mean floating-point operations of matrix products to train on a row, unpadded."""
    width = built.size.width
    joined = built.embed.get_layer("event").kernel.shape[0]
    events = np.minimum(rows.encoded.event_count, built.size.events).mean()
    steps = np.minimum(rows.encoded.step_count, built.size.steps).mean()
    per_step = built.read.get_layer("step").kernel.shape[0] * width
    encoder = built.size.encoder_parameters(ENCODER)
    return float(3 * 2 * (events * joined * width + steps * (per_step + encoder)))


def print_peak_memory(customers: int, folder: Path) -> None:
    """Print the peak memory of a pass over a shop, in MiB, without a cache of buckets."""
    cached = read_dataset(Config(customers=customers, seed=11), folder, anchors=4)
    dataset = replace(cached, _free_bytes=0)
    dataset.learn_vocabulary()
    for rows in dataset.source("train")(0, 0):
        for _ in batches(rows.encoded, size_of("nano", ENCODER)):
            pass
    # Not ru_maxrss, which a new process inherits from the one that started it.
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    print(int(peak[1]) / 1024)


def peak_mib(customers: int) -> float:
    """Return the peak memory of a pass over a shop, in a process of its own."""
    with TemporaryDirectory() as folder:
        write_buckets(Config(customers=customers, seed=11), Path(folder))
        command = [sys.executable, "-m", "benchmarks.training", "--memory", str(customers), folder]
        finished = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(finished.stdout)


def main() -> None:
    """Print the table; fail where a claim is not reached."""
    parser = arguments_of(__doc__)
    parser.add_argument("size", nargs="?", default="nano", choices=["nano", "small", "base"])
    parser.add_argument("--memory", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        print_peak_memory(int(given.memory[0]), Path(given.memory[1]))
        return
    size = size_of(given.size, ENCODER)
    network.deterministic(7)
    with TemporaryDirectory() as folder:
        dataset, architecture = make_dataset(CUSTOMERS, size, Path(folder))
        rows = next(dataset.source("train")(0, 0))
    print(
        f"{size}: {len(rows.first_purchase)} rows of {rows.encoded.event_count.mean():.0f} events\n"
    )
    print("| | rows a second | × plain | first pass, s |\n|---|---|---|---|")
    passes = {
        f"keras.fit, padded to {size.events} events": plain_pass(architecture, rows),
        "ours": our_pass(architecture, rows, False),
        "ours, XLA": our_pass(architecture, rows, True),
    }
    one_pass = batches(rows.encoded, size, BATCH, np.random.default_rng(7))
    inputs = [batch.inputs for batch in one_pass]
    shapes = {(each["steps"].shape[1], len(each["place"])) for each in inputs}
    best, plain = 0.0, 0.0
    for name, speed, first in measure(passes):
        plain, best = plain or speed, max(best, speed)
        print(f"| {name} | {speed:.0f} | {speed / plain:.1f} | {first:.0f} |")
    print(f"\nThe first pass with XLA compiles {len(shapes)} shapes")
    work = best * flops_per_row(network.build(architecture), rows)
    peak = peak_flops()
    print(f"\nMatrix products: {work / 1e9:.1f} of {peak / 1e9:.0f} GFLOP/s ({work / peak:.1%})")
    peaks = [peak_mib(customers) for customers in SHOPS]
    for customers, mib in zip(SHOPS, peaks, strict=True):
        print(f"Peak memory to make the rows of {customers} customers: {mib:.0f} MiB")
    print(f"Claimed: {LEAST_SPEED_RATIO} × plain, memory within {MAX_MEMORY_RATIO} ×")
    sys.exit(int(best / plain < LEAST_SPEED_RATIO or peaks[-1] > MAX_MEMORY_RATIO * peaks[0]))


if __name__ == "__main__":
    main()
