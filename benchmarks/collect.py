"""Rows a second of `intent collect`, beside bare COPY FROM of the same rows, and its peak memory.

Each round copies a CSV into `shop.events` with psql's COPY through the driver, and collects the
same file into another fresh database of the same server; the table and its indexes are the same.
Limits beside it: COPY without the unique index on event_id, which alone makes each event come once.
Then the same rows as other layouts, a file that holds only events that are there already, and one
four times as long. Ids are random, the worst case for the index.
Claims: at least 0.5 of bare COPY; less than 1 GiB, and for a file four times as long at most 1.1 as
much memory.
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

from benchmarks import servers
from intent_tasks.local import databases, postgres
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres as database
from intent_tasks.stores.collecting import landing
from tests.conftest import settings_for

LEAST_RATIO = 0.5
MOST_BYTES = 1 << 30
MOST_GROWTH = 1.1
LONGER = 4
ROUNDS = 3
PART_ROWS = 500_000

CHILD = """
import json, re, sys, time
from pathlib import Path
from intent_tasks.settings import load_settings
from intent_tasks.steps.collect import collect
settings, begun = load_settings(), time.monotonic()
totals = collect(settings, sys.argv[1], "native", lambda text: None)
seconds = time.monotonic() - begun
# Not ru_maxrss, which a new process inherits from the one that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
used = {"seconds": seconds, "processor": time.process_time(), "bytes": peak}
print(json.dumps(used | {"rows": dict(totals.rows)}))
"""


def made(rows: int, seed: int) -> Iterator[pa.Table]:
    """Yield events as a shop logs them: half of the columns filled, ids that are random."""
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
    for table in made(rows, seed):
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
def fresh(server: postgres.Server, home: Path) -> Iterator[Settings]:
    """Make a migrated database, empty but for the tables that collecting makes."""
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


def bare_copy(settings: Settings, path: Path, *, unique: bool = True) -> float:
    """Copy a CSV into shop.events and return the seconds."""
    header = path.open().readline().strip()
    with database.changing(settings.shop_owner_url, "bench") as connection:
        if not unique:
            connection.exec_driver_sql(f"DROP INDEX shop.{landing.EVENT_ID_INDEX}")
    begun = time.monotonic()
    with database.changing(settings.shop_owner_url, "bench") as connection, path.open("rb") as file:
        statement = f"COPY shop.events ({header}) FROM STDIN (FORMAT csv, HEADER)"
        connection.connection.cursor().copy_expert(statement, file, 1 << 20)
    return time.monotonic() - begun


def collected(settings: Settings, path: Path) -> dict[str, float]:
    """Collect a file in a process of its own; return seconds, peak bytes and rows."""
    names = ("shop_url", "pipeline_url", "analyst_url", "migrator_url", "shop_owner_url",
             "identity_key", "manifest_key")  # fmt: skip
    given = {f"INTENT_{n.upper()}": getattr(settings, n).get_secret_value() for n in names}
    given |= {"INTENT_HOME": str(settings.home), "INTENT_MLFLOW_URL": settings.mlflow_url}
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(path)],
        env=os.environ | given, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def main() -> None:
    """Print the figures; fail when a claim does not hold."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    with servers.installation("collect") as (server, settings):
        ratio, bytes_of = measure(server, settings.home, rows)
    growth = {kind: long / short for kind, (short, long) in bytes_of.items()}
    peak = max(most for pair in bytes_of.values() for most in pair)
    print(
        f"ratio {ratio:.2f} (claimed: {LEAST_RATIO}), memory {peak / 2**20:.0f} MiB (claimed: 1024)"
    )
    for kind, times in growth.items():
        print(f"memory for {LONGER} x the {kind}: {times:.2f} x (claimed: {MOST_GROWTH})")
    holds = ratio >= LEAST_RATIO and peak < MOST_BYTES and max(growth.values()) <= MOST_GROWTH
    sys.exit(0 if holds else 1)


def measure(
    server: postgres.Server, folder: Path, rows: int
) -> tuple[float, dict[str, tuple[float, float]]]:
    """Run all rounds; return the ratio of the medians, and the peaks of memory.

    These are, for each kind of file, bytes for the file and for one `LONGER` times as long.
    """
    paths = write_files(folder, "events", rows, seed=1)
    size = paths["csv"].stat().st_size
    print(f"{rows:,} rows, {size / 2**20:.0f} MiB as CSV; rows/s, ratio to bare COPY, peak memory")
    bare, without, ours = [], [], []
    for _ in range(ROUNDS):
        with fresh(server, folder) as settings:
            bare.append(bare_copy(settings, paths["csv"]))
        with fresh(server, folder) as settings:
            ours.append(collected(settings, paths["csv"]))
        with fresh(server, folder) as settings:
            without.append(bare_copy(settings, paths["csv"], unique=False))
    copy = statistics.median(bare)
    taken = statistics.median(found["seconds"] for found in ours)
    short = {"csv": max(found["bytes"] for found in ours)}
    _say("bare COPY", rows / copy, 1.0)
    _say(
        "bare COPY, no unique index",
        rows / statistics.median(without),
        copy / statistics.median(without),
    )
    _say("collect CSV", rows / taken, copy / taken, short["csv"])
    processor = statistics.median(found["processor"] for found in ours)
    print(f"  of it {processor:.1f} s of processor, all but the server's")
    pairs = [b / o["seconds"] for b, o in zip(bare, ours, strict=True)]
    print(f"  ratio by round: {', '.join(f'{pair:.2f}' for pair in pairs)}")
    for kind in ("csv.gz", "jsonl.zst", "parquet"):
        with fresh(server, folder) as settings:
            found = collected(settings, paths[kind])
            short[kind] = found["bytes"]
            _say(
                f"collect {kind}", rows / found["seconds"], copy / found["seconds"], found["bytes"]
            )
            if kind == "parquet":
                again = collected(settings, paths["csv"])
                _say(
                    "collect, all there",
                    rows / again["seconds"],
                    copy / again["seconds"],
                    again["bytes"],
                )
    large = write_files(folder, "large", rows * LONGER, seed=2)
    bytes_of = {}
    for kind in ("csv", "parquet"):
        with fresh(server, folder) as settings:
            found = collected(settings, large[kind])
        bytes_of[kind] = short[kind], found["bytes"]
        speed = rows * LONGER / found["seconds"]
        _say(f"collect {kind}, {LONGER} x as long", speed, None, found["bytes"])
    return copy / taken, bytes_of


def _say(name: str, speed: float, ratio: float | None, memory: float | None = None) -> None:
    line = f"  {name:30s} {speed:12,.0f}" + (f" {ratio:8.2f}" if ratio is not None else " " * 9)
    print(line + (f" {memory / 2**20:8.0f} MiB" if memory is not None else ""), flush=True)


if __name__ == "__main__":
    main()
