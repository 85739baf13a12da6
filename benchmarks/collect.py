"""Rows a second of `intent collect`, compared with bare COPY FROM, and its peak memory.

Each round copies a CSV into `shop.events` with COPY, and collects the same file into another new
database of the same server, with the same table and indexes. A third database measures COPY without
the unique index on event_id, which is what stores each event once. Then the same rows are collected
in other layouts, once more when all are there already, and from a file four times as long. Ids are
random, the worst case for the index.
Claims: at least 0.5 of the speed of bare COPY; less than 1 GiB of memory, and for a file four times
as long at most 1.1 times as much.
Command: `python -m benchmarks.collect [ROWS]` (a million; four minutes)
"""

import json
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import sqlalchemy as sa

from benchmarks.support import servers
from benchmarks.support.arguments import arguments_of
from intent_tasks.local import databases, postgres
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres as database
from intent_tasks.stores.collecting import landing
from tools.testbed.settings import settings_for

LEAST_RATIO = 0.5
MAX_BYTES = 1 << 30
MAX_GROWTH = 1.1
LONGER = 4
ROUNDS = 3
PART_ROWS = 500_000

CHILD = """
import json, re, sys, time
from pathlib import Path
from intent_tasks.settings import load_settings
from intent_tasks.steps.collect import collect
settings, start = load_settings(), time.monotonic()
totals = collect(settings, sys.argv[1], "native", lambda text: None)
seconds = time.monotonic() - start
# Not ru_maxrss, which a new process inherits from the one that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
used = {"seconds": seconds, "processor": time.process_time(), "bytes": peak}
print(json.dumps(used | {"rows": dict(totals.rows)}))
"""


def make_events(rows: int, seed: int) -> Iterator[pa.Table]:
    """Yield events as a shop logs them: half of the columns filled, random ids."""
    random = np.random.default_rng(seed)
    kinds = np.array(["view", "cart", "purchase", "search"])
    for start in range(0, rows, PART_ROWS):
        n = min(PART_ROWS, rows - start)
        kind = kinds[random.choice(4, n, p=[0.85, 0.08, 0.03, 0.04])]
        ids = random.integers(0, 2**63, (n, 2), dtype=np.int64)
        at = np.datetime64("2026-06-01", "us") + random.integers(0, 2_592_000_000_000, n)
        arrived = at + np.timedelta64(5, "s")
        yield pa.table(
            {
                "event_id": pa.array([f"{a:016x}{b:016x}" for a, b in ids.tolist()]),
                "customer_id": pa.array([f"c{c}" for c in random.integers(0, 200_000, n).tolist()]),
                "session_id": pa.array([f"s{c}" for c in random.integers(0, 2**40, n).tolist()]),
                "event_type": pa.array(kind),
                "product_id": pa.array([f"p{p}" for p in random.integers(0, 50_000, n).tolist()]),
                "quantity": pa.array(np.ones(n, np.int32), mask=kind == "view"),
                "price": pa.array(random.integers(100, 99_999, n) / 100),
                "currency": pa.array(["EUR"] * n),
                "channel": pa.array(
                    np.array(["direct", "ads", "e-mail"])[random.integers(0, 3, n)]
                ),
                "occurred_at": pa.array(at).cast(pa.timestamp("us", tz="UTC")),
                "ingested_at": pa.array(arrived).cast(pa.timestamp("us", tz="UTC")),
            }
        )


def write_files(folder: Path, name: str, rows: int, seed: int) -> dict[str, Path]:
    """Write the same rows as CSV, compressed CSV, JSON lines and Parquet."""
    paths = {kind: folder / f"{name}.{kind}" for kind in ("csv", "csv.gz", "jsonl.zst", "parquet")}
    writers = None
    for table in make_events(rows, seed):
        if writers is None:
            plain = pa.csv.CSVWriter(str(paths["csv"]), table.schema)
            zipped = pa.csv.CSVWriter(
                pa.CompressedOutputStream(str(paths["csv.gz"]), "gzip"), table.schema
            )
            columns = pq.ParquetWriter(paths["parquet"], table.schema)
            lines = pa.CompressedOutputStream(str(paths["jsonl.zst"]), "zstd")
            writers = (plain, zipped, columns)
        for writer in writers:
            writer.write_table(table)
        frame = table.to_pandas()
        lines.write(frame.to_json(orient="records", lines=True, date_format="iso").encode())
    for writer in (*writers, lines):
        writer.close()
    return paths


@contextmanager
def fresh_database(server: postgres.Server, home: Path) -> Iterator[Settings]:
    """Create a migrated database with the tables of collecting and no rows."""
    name = f"bench_{secrets.token_hex(4)}"
    admin = sa.create_engine(
        server.url().get_secret_value(), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
    )
    with admin.connect() as connection:
        connection.execute(sa.text(f'CREATE DATABASE "{name}" TEMPLATE "{databases.SHOP}"'))
        settings = settings_for(server, name, home)
        with database.changing(settings.shop_owner_url, "collect") as shop:
            landing.prepare(shop)
        try:
            yield settings
        finally:
            connection.execute(sa.text(f'DROP DATABASE "{name}" WITH (FORCE)'))


def time_copy(settings: Settings, path: Path, *, unique: bool = True) -> float:
    """Copy a CSV into shop.events and return the seconds."""
    header = path.open().readline().strip()
    with database.changing(settings.shop_owner_url, "bench") as connection:
        if not unique:
            connection.exec_driver_sql(f"DROP INDEX shop.{landing.EVENT_ID_INDEX}")
    start = time.monotonic()
    with database.changing(settings.shop_owner_url, "bench") as connection, path.open("rb") as file:
        statement = f"COPY shop.events ({header}) FROM STDIN (FORMAT csv, HEADER)"
        connection.connection.cursor().copy_expert(statement, file, 1 << 20)
    return time.monotonic() - start


def collect_in_child(settings: Settings, path: Path) -> dict[str, float]:
    """Collect a file in a process of its own; return seconds, peak bytes and rows."""
    names = ("shop_url", "pipeline_url", "analyst_url", "migrator_url", "shop_owner_url",
             "identity_key", "manifest_key")  # fmt: skip
    variables = {f"INTENT_{n.upper()}": getattr(settings, n).get_secret_value() for n in names}
    variables |= {"INTENT_HOME": str(settings.home), "INTENT_MLFLOW_URL": settings.mlflow_url}
    finished = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        env=os.environ | variables, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(finished.stdout)


def main() -> None:
    """Print the figures; fail when a claim does not hold."""
    parser = arguments_of(__doc__)
    parser.add_argument("rows", type=int, nargs="?", default=1_000_000)
    rows = parser.parse_args().rows
    with servers.installation("collect") as (server, settings):
        ratio, bytes_of = measure(server, settings.home, rows)
    growth = {kind: long / short for kind, (short, long) in bytes_of.items()}
    peak = max(peak_bytes for pair in bytes_of.values() for peak_bytes in pair)
    print(
        f"ratio {ratio:.2f} (claimed: {LEAST_RATIO}), memory {peak / 2**20:.0f} MiB (claimed: 1024)"
    )
    for kind, times in growth.items():
        print(f"memory for {LONGER} x the {kind}: {times:.2f} x (claimed: {MAX_GROWTH})")
    holds = ratio >= LEAST_RATIO and peak < MAX_BYTES and max(growth.values()) <= MAX_GROWTH
    sys.exit(0 if holds else 1)


def measure(
    server: postgres.Server, folder: Path, rows: int
) -> tuple[float, dict[str, tuple[float, float]]]:
    """Run all rounds; return the ratio of the medians, and the peak memory.

    The peaks are bytes by kind of file: for the file, and for one `LONGER` times as long.
    """
    paths = write_files(folder, "events", rows, seed=1)
    size = paths["csv"].stat().st_size
    print(f"{rows:,} rows, {size / 2**20:.0f} MiB as CSV; rows/s, ratio to bare COPY, peak memory")
    bare, without, collected = [], [], []
    for _ in range(ROUNDS):
        with fresh_database(server, folder) as settings:
            bare.append(time_copy(settings, paths["csv"]))
        with fresh_database(server, folder) as settings:
            collected.append(collect_in_child(settings, paths["csv"]))
        with fresh_database(server, folder) as settings:
            without.append(time_copy(settings, paths["csv"], unique=False))
    copy = statistics.median(bare)
    collect_seconds = statistics.median(run["seconds"] for run in collected)
    short = {"csv": max(run["bytes"] for run in collected)}
    _print_row("bare COPY", rows / copy, 1.0)
    _print_row(
        "bare COPY, no unique index",
        rows / statistics.median(without),
        copy / statistics.median(without),
    )
    _print_row("collect CSV", rows / collect_seconds, copy / collect_seconds, short["csv"])
    processor = statistics.median(run["processor"] for run in collected)
    print(f"  processor seconds without those of the server: {processor:.1f}")
    pairs = [b / o["seconds"] for b, o in zip(bare, collected, strict=True)]
    print(f"  ratio by round: {', '.join(f'{pair:.2f}' for pair in pairs)}")
    for kind in ("csv.gz", "jsonl.zst", "parquet"):
        with fresh_database(server, folder) as settings:
            run = collect_in_child(settings, paths[kind])
            short[kind] = run["bytes"]
            _print_row(
                f"collect {kind}", rows / run["seconds"], copy / run["seconds"], run["bytes"]
            )
            if kind == "parquet":
                repeated = collect_in_child(settings, paths["csv"])
                _print_row(
                    "collect, no new rows",
                    rows / repeated["seconds"],
                    copy / repeated["seconds"],
                    repeated["bytes"],
                )
    large = write_files(folder, "large", rows * LONGER, seed=2)
    bytes_of = {}
    for kind in ("csv", "parquet"):
        with fresh_database(server, folder) as settings:
            run = collect_in_child(settings, large[kind])
        bytes_of[kind] = short[kind], run["bytes"]
        speed = rows * LONGER / run["seconds"]
        _print_row(f"collect {kind}, {LONGER} x as long", speed, None, run["bytes"])
    return copy / collect_seconds, bytes_of


def _print_row(name: str, speed: float, ratio: float | None, memory: float | None = None) -> None:
    line = f"  {name:30s} {speed:12,.0f}" + (f" {ratio:8.2f}" if ratio is not None else " " * 9)
    print(line + (f" {memory / 2**20:8.0f} MiB" if memory is not None else ""), flush=True)


if __name__ == "__main__":
    main()
