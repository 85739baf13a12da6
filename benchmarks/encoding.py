"""Speed of encoding: from a table of events to the arrays of the network and the features.

Peer: the same code at another commit, in a worktree of its own. Both read the same table of a
simulated shop with 95 days and take turns in the same run. One pass encodes the last anchor, as
scoring does, or all anchors of a training window.
Claims: the arrays are the same bytes; at least as fast as the commit, with at most its memory.
Command: `python -m benchmarks.encoding COMMIT [CUSTOMERS] [ANCHORS]` (a minute).
Seconds are processor seconds, the least of all rounds. Memory is the peak of the process.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

DAYS, ROUNDS, ANCHOR_DAYS = 95, 7, 2
CHECKOUT = Path(__file__).parents[1]
MORE_MEMORY = 1.02  # pages of libraries differ a little from run to run


def main() -> None:
    """Print the ratio and the figures; fail where a claim does not hold."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchmarks.support.arguments import arguments_of
    from benchmarks.support.simulated_rows import snapshot
    from intent_tasks.simulator import Config, simulate

    parser = arguments_of(__doc__)
    parser.add_argument("commit", help="the peer, such as HEAD~10")
    parser.add_argument("customers", type=int, nargs="?", default=4000)
    parser.add_argument("anchors", type=int, nargs="?", default=1)
    given = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="intent-encoding-")))
        config = Config(customers=given.customers, days=DAYS, seed=11)
        events = snapshot(config, pa.concat_tables(simulate(config, 1 + given.customers // 1000)))
        pq.write_table(events, folder / "events.parquet")
        rows = events.num_rows
        del events
        peer = stack.enter_context(_checkout_of(given.commit, folder / "peer"))
        encoders = {
            name: stack.enter_context(_encoder(tree, folder / "events.parquet", given.anchors))
            for name, tree in (("now", CHECKOUT), (given.commit, peer))
        }
        results: dict[str, list[Any]] = {name: [] for name in encoders}
        for _ in range(ROUNDS):
            for name, encoder in encoders.items():
                results[name].append(_ask(encoder))
    now, before = (min(each["seconds"] for each in results[name]) for name in encoders)
    print(f"{before / now:.2f} × the speed of {given.commit}\n")
    print(f"{rows:,} events of {given.customers:,} customers, {given.anchors} anchors\n")
    print("| | encoded customers a second | seconds | peak memory |\n|---|---|---|---|")
    for name, each in results.items():
        seconds = min(result["seconds"] for result in each)
        print(
            f"| {name} | {each[0]['customers'] / seconds:,.0f} | {seconds:.2f} "
            f"| {each[-1]['megabytes']:.0f} MB |"
        )
    ours, theirs = (each[-1] for each in results.values())
    same, small = (
        ours["digest"] == theirs["digest"],
        (ours["megabytes"] <= MORE_MEMORY * theirs["megabytes"]),
    )
    print(f"\nThe arrays are {'the same' if same else 'different'} bytes")
    sys.exit(not (same and small and now <= before))


@contextmanager
def _checkout_of(commit: str, folder: Path) -> Iterator[Path]:
    """Yield a worktree of a commit; remove it at the end."""
    git = ["git", "-C", str(CHECKOUT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(folder), commit], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "remove", "--force", str(folder)], check=True)


@contextmanager
def _encoder(tree: Path, events: Path, anchors: int) -> Iterator[subprocess.Popen[str]]:
    """Yield a process that encodes with the code of a tree, once for each line that it reads."""
    environment = {**os.environ, "PYTHONPATH": str(tree)}
    command = [sys.executable, "-P", __file__, str(events), str(anchors)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as encoder:
        yield encoder
        encoder.communicate()


def _ask(encoder: subprocess.Popen[str]) -> Any:  # noqa: ANN401
    assert encoder.stdin
    assert encoder.stdout
    encoder.stdin.write("\n")
    encoder.stdin.flush()
    return json.loads(encoder.stdout.readline())


def encode_on_request(path: str, anchors: int) -> None:
    """Encode once for each line of the input; print seconds, customers, memory and a digest."""
    import hashlib
    import time

    import numpy as np
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from intent_tasks.core.encoding import encode
    from intent_tasks.core.event_arrays import event_arrays
    from intent_tasks.core.vocabulary import learn_vocabulary
    from intent_tasks.definition import Definition

    events, definition = pq.read_table(path), Definition()
    vocabulary = learn_vocabulary([events])
    last = pc.max(events["occurred_at"]).as_py().date()
    days = [last - timedelta(days=ANCHOR_DAYS * n) for n in range(anchors)]
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of what came before
    for _ in sys.stdin:
        start = time.process_time()
        everything = event_arrays(events, vocabulary, definition.time_zone)
        encoded = [encode(everything, definition, day) for day in days]
        seconds = time.process_time() - start
        content = hashlib.sha256()
        status = Path("/proc/self/status").read_text()
        megabytes = int(status.partition("VmHWM:")[2].split()[0]) / 1e3
        for each in encoded:
            for block in np.array_split(np.arange(len(each.customers)), 8):
                for name, values in sorted(each.batch(block, 10_000, 100).items()):
                    content.update(f"{name} {values.shape} {values.dtype}".encode())
                    content.update(values.tobytes())
        result = {
            "seconds": seconds,
            "customers": sum(len(each.customers) for each in encoded),
            "megabytes": megabytes,
            "digest": content.hexdigest(),
        }
        print(json.dumps(result), flush=True)
        del everything, encoded


if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1].endswith(".parquet"):
        encode_on_request(sys.argv[1], int(sys.argv[2]))
    else:
        main()
