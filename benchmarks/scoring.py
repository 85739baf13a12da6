"""Scoring speed of the network, with and without reasons, compared with `keras.predict`.

Plain: usual Keras layers (`tools/testbed/padded_network.py`), every row padded to full length, no
XLA, all rows in memory. Ours: events without padding. Encoding is timed separately, since both
need it.
Claims: 3 × plain; encoding and scoring with reasons take at most 1.5 × as long as without.
Command: `python -m benchmarks.scoring [nano|small|base]` (minutes).
Seconds are processor seconds of all threads: other programs on the machine do not count.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks.support.arguments import arguments_of
from benchmarks.support.default_encoder import ENCODER
from benchmarks.support.simulated_rows import make_dataset
from intent_tasks.core.dataset import Dataset
from intent_tasks.core.encoding import Encoded, encode
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.models import attribution, network, training
from intent_tasks.models.sizes import size_of
from intent_tasks.simulator.config import BLOCK
from tools.testbed import padded_network

CUSTOMERS, PLAIN_ROWS, ROUNDS = 2000, 1024, 3
LEAST_SPEED_RATIO, MAX_REASONS_RATIO = 3.0, 1.5


def best_seconds(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the best time of each over several rounds, after a first call that builds graphs."""
    for work in works.values():
        work()
    least = dict.fromkeys(works, float("inf"))
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = time.process_time()
            work()
            least[name] = min(least[name], time.process_time() - start)
    return least


def encode_test_rows(dataset: Dataset) -> tuple[Encoded, float]:
    """Return the rows of one bucket and anchor, and the seconds that reading and encoding took."""
    start = time.process_time()
    everything = event_arrays(dataset.read(0), dataset.vocabulary, "UTC")
    encoded = encode(everything, dataset.definition, dataset.split["test"][0])
    return encoded, time.process_time() - start


def main() -> None:
    """Print the table; fail where a claim is not reached."""
    parser = arguments_of(__doc__)
    parser.add_argument("size", nargs="?", default="nano", choices=["nano", "small", "base"])
    size = size_of(parser.parse_args().size, ENCODER)
    network.deterministic(7)
    with TemporaryDirectory() as folder:
        dataset, architecture = make_dataset(
            CUSTOMERS, size, Path(folder), blocks=CUSTOMERS // BLOCK
        )
        encoded, encoding = encode_test_rows(dataset)
    built = network.build(architecture)
    count = len(encoded.customers)
    chosen = np.random.default_rng(7).permutation(count)[:PLAIN_ROWS]
    inputs = padded_network.padded(encoded, chosen, size)
    peer = padded_network.build(architecture, built)
    peer.compile(jit_compile=False)
    works = {
        "plain": lambda: peer.predict(inputs, batch_size=1024, verbose=0),
        "ours": lambda: training.predict_logits(built, encoded, False),
        "ours, XLA": lambda: training.predict_logits(built, encoded, True),
        "ours with reasons": lambda: attribution.explain(built, encoded),
    }
    seconds = {name: time_ / count for name, time_ in best_seconds(works).items()}
    seconds["plain"] *= count / len(chosen)
    print(f"{size}: {count} customers of {encoded.event_count.mean():.0f} events; plain is")
    print(f"keras.predict, padded to {size.events} events\n")
    print("| | customers a second | × plain |\n|---|---|---|")
    for name, each in seconds.items():
        print(f"| {name} | {1 / each:.0f} | {seconds['plain'] / each:.1f} |")
    without, with_reasons = seconds["ours"], seconds["ours with reasons"]
    ratio = (with_reasons + encoding / count) / (without + encoding / count)
    print(f"\nEncoding: {count / encoding:.0f} customers a second")
    print(
        f"Reasons cost {with_reasons / without:.2f} × the network alone, "
        f"{ratio:.2f} × encoding and network"
    )
    reached = seconds["plain"] / min(seconds["ours"], seconds["ours, XLA"])
    print(
        f"Claimed: {LEAST_SPEED_RATIO} × plain, "
        f"reasons at {MAX_REASONS_RATIO} × encoding and network"
    )
    sys.exit(int(reached < LEAST_SPEED_RATIO or ratio > MAX_REASONS_RATIO))


if __name__ == "__main__":
    main()
