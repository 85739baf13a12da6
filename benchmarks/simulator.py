"""Speed and memory of writing the simulated shop, and speed of its best possible prediction.

Claims on two cores: 300,000 events a second into Parquet; memory that does not grow with the shop;
20,000 customers a second in the exact filter with 60 days of history.
Command: `python -m benchmarks.simulator [CUSTOMERS]` (a minute for 100,000 customers, 11 million
events), `python -m benchmarks.simulator --large` for 100 million events (minutes, 5 GB of temporary
disk space).
"""

import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.support.arguments import arguments_of
from intent_tasks.simulator import Config, write
from intent_tasks.simulator.bayes_optimal import probabilities
from intent_tasks.simulator.observed import Observed
from intent_tasks.simulator.shop import block_of_days

EVENTS_A_SECOND = 300_000
CUSTOMERS_A_SECOND = 20_000
MEGABYTES_OF_GROWTH = 100
HISTORY_DAYS = 60
LARGE_CUSTOMERS, LARGE_EVENTS = 920_000, 100_000_000
BYTES_PER_EVENT = 60
"""An upper bound of the size of an event in Parquet."""


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds of a call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def write_shop(customers: int) -> tuple[int, float, float]:
    """Write a shop; return its events, the seconds, and the peak memory of this process in MB."""
    with tempfile.TemporaryDirectory(prefix="intent-bench-") as folder:
        needed, free = customers * 120 * BYTES_PER_EVENT, shutil.disk_usage(folder).free
        if free < needed:
            sys.exit(f"{folder} needs {needed / 1e9:.0f} GB and has {free / 1e9:.0f}: set TMPDIR.")
        start, busy = time.perf_counter(), time.process_time()
        rows = write(Config(customers=customers), Path(folder))
        duration, busy = time.perf_counter() - start, time.process_time() - busy
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    print(
        f"{customers:,} customers: {rows:,} events in {duration:.1f} s, {busy:.1f} processor "
        f"seconds, {size / 1e9:.2f} GB",
        flush=True,
    )
    return rows, duration, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def filter_speed(blocks: int = 40) -> float:
    """Return the customers a second of the exact filter, for all horizons."""
    config = Config(customers=blocks * 500, days=HISTORY_DAYS)
    days = [block_of_days(config, number)[0] for number in range(blocks)]
    observed = Observed(
        np.concatenate([d.joined for d in days]),
        np.concatenate([d.sessions for d in days], axis=1),
        np.concatenate([d.kinds for d in days], axis=1),
    )
    duration = seconds(lambda: probabilities(config, observed, HISTORY_DAYS - 1, (1, 3, 7, 14)))
    return config.customers / duration


def main() -> None:
    """Print the measured figures; fail when a claim does not hold."""
    parser = arguments_of(__doc__)
    parser.add_argument("customers", type=int, nargs="?", default=100_000)
    parser.add_argument("--large", action="store_true", help="100 million events")
    given = parser.parse_args()
    large = given.large
    customers = LARGE_CUSTOMERS if large else given.customers
    _, _, before = write_shop(customers // 10)
    rows, duration, after = write_shop(customers)
    speed = filter_speed()
    print(f"{rows:,} events in {duration:.1f} s: {rows / duration:,.0f} a second into Parquet")
    print(f"Memory: {before:.0f} MB at a tenth of the customers, {after:.0f} MB at all")
    print(f"Limit: {speed:,.0f} customers a second at {HISTORY_DAYS} days of history")
    if large and rows < LARGE_EVENTS:
        sys.exit(f"Fewer than {LARGE_EVENTS:,} events: raise LARGE_CUSTOMERS.")
    fast = rows / duration >= EVENTS_A_SECOND and speed >= CUSTOMERS_A_SECOND
    sys.exit(not (fast and after - before <= MEGABYTES_OF_GROWTH))


if __name__ == "__main__":
    main()
