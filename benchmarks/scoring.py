"""How fast the network scores, with reasons and without, beside plain `keras.predict`.

Plain: usual Keras layers (`plain.py`), every row padded to full length, no XLA, all rows in memory.
Ours: events one after the other; encoding them is timed by itself, since both need it.
Claims: 3 × plain; reasons cost at most half as much again as scoring, encoding included.
Command: `python -m benchmarks.scoring [nano|small|base]` (minutes).
Seconds are of the processor, over all threads: what else runs on the machine does not count.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from benchmarks import plain
from benchmarks.training import made
from intent_tasks.core.dataset import Dataset
from intent_tasks.core.encoding import Encoded, encode
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.models import network, reasons, training
from intent_tasks.models.sizes import size_of
from intent_tasks.simulator.config import BLOCK

CUSTOMERS, PLAIN_ROWS, TURNS = 2000, 1024, 3
FASTER, REASONS_COST = 3.0, 1.5
"""What is claimed."""


def seconds(works: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the least time of each, in turns, after a first that builds the graph."""
    for work in works.values():
        work()
    least = dict.fromkeys(works, float("inf"))
    for _ in range(TURNS):
        for name, work in works.items():
            begun = time.process_time()
            work()
            least[name] = min(least[name], time.process_time() - begun)
    return least


def encoded_test(found: Dataset) -> tuple[Encoded, float]:
    """Return the rows of one bucket and anchor, and the seconds that reading and encoding took."""
    begun = time.process_time()
    everything = event_arrays(found.read(0), found.vocabulary, "UTC")
    encoded = encode(everything, found.definition, found.split["test"][0])
    return encoded, time.process_time() - begun


def main() -> None:
    """Print the table; fail where a claim is not reached."""
    size = size_of(sys.argv[1] if len(sys.argv) > 1 else "nano", "gru")
    network.deterministic(7)
    with TemporaryDirectory() as folder:
        found, architecture = made(CUSTOMERS, size, Path(folder), blocks=CUSTOMERS // BLOCK)
        encoded, encoding = encoded_test(found)
    built = network.build(architecture)
    count = len(encoded.customers)
    some = np.random.default_rng(7).permutation(count)[:PLAIN_ROWS]
    inputs = plain.padded(encoded, some, size)
    peer = plain.build(architecture, built)
    peer.compile(jit_compile=False)
    works = {
        "plain": lambda: peer.predict(inputs, batch_size=1024, verbose=0),
        "ours": lambda: training.predict_logits(built, encoded, False),
        "ours, XLA": lambda: training.predict_logits(built, encoded, True),
        "ours with reasons": lambda: reasons.explain(built, encoded),
    }
    took = {name: time_ / count for name, time_ in seconds(works).items()}
    took["plain"] *= count / len(some)
    print(f"{size}: {count} customers of {encoded.event_count.mean():.0f} events; plain is")
    print(f"keras.predict, padded to {size.events} events\n")
    print("| | customers a second | × plain |\n|---|---|---|")
    for name, one in took.items():
        print(f"| {name} | {1 / one:.0f} | {took['plain'] / one:.1f} |")
    alone, more = took["ours"], took["ours with reasons"]
    both = (more + encoding / count) / (alone + encoding / count)
    print(f"\nEncoding: {count / encoding:.0f} customers a second")
    print(f"Reasons cost {more / alone:.2f} × the network alone, {both:.2f} × encoding and network")
    reached = took["plain"] / min(took["ours"], took["ours, XLA"])
    print(f"Claimed: {FASTER} × plain, reasons at {REASONS_COST} × encoding and network")
    sys.exit(int(reached < FASTER or both > REASONS_COST))


if __name__ == "__main__":
    main()
