"""How fast and in how much memory a day of events is copied from the warehouse.

Limit: the same query drained by a bare binary COPY (psql to nowhere). Peer: `pandas.read_sql`.
Claims on two cores: into Arrow at 0.8 of the limit or more, five times pandas or more; the whole
extract in less than 1 GiB whatever the size of the day.
Command: `python -m benchmarks.extract [ROWS]`; 4,000,000 take about four minutes and 3 GB of disk.
`python -m benchmarks.extract memory 10000000` leaves the speeds out, for days that pandas cannot
hold.
Each figure is the median of three rounds, in which the ways take turns, with the smallest and the
largest. Seconds of processor tell what a quiet machine of two cores could reach: the slower of
server and reader. Memory is the peak of a process that does nothing else, at a quarter of the rows
and at all. The extract is counted, judged, keyed, sorted and written: its speed is told, no claim.
"""

import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pandas as pd
import sqlalchemy as sa

from benchmarks import servers
from intent_tasks.local.postgres import Server
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.stores.extracting import copy_days, source
from intent_tasks.tables import shop_metadata

SMALL, LARGE = date(2026, 6, 29), date(2026, 6, 30)
ROUNDS, LEAST_OF_COPY, LEAST_OF_PANDAS, MOST_MEGABYTES = 3, 0.8, 5, 1024

FILL = """
INSERT INTO shop.events
SELECT 'e' || lpad((n + %(first)s)::text, 15, '0'), 'customer-' || (hashint4(n) & 262143),
       's' || (n / 7), (ARRAY['view', 'click', 'search', 'cart', 'purchase'])[1 + n %% 5],
       'p' || lpad((hashint4(n) & 8191)::text, 6, '0'), 1, (n %% 9973) / 100.0, 'EUR',
       CASE WHEN n %% 5 = 2 THEN 'red shoes size ' || n %% 50 END, NULL, NULL,
       (ARRAY['direct', 'ads', 'e-mail'])[1 + n %% 3], (ARRAY['mobile', 'desktop'])[1 + n %% 2],
       at, at + interval '5 seconds'
FROM (SELECT n, %(day)s::timestamptz + n * interval '1 second' * 86000 / %(rows)s AS at
      FROM generate_series(1, %(rows)s) AS n) AS numbered
"""


def main(rows: int, *, memory_alone: bool) -> None:
    with servers.installation("extract") as (server, settings):
        fill(settings, {SMALL: rows // 4, LARGE: rows})
        fast = memory_alone or is_fast(settings, server, rows)
        sys.exit(not (is_small(settings, rows) and fast))


def fill(settings: Settings, rows: dict[date, int]) -> None:
    with postgres.changing(settings.shop_owner_url, "fill") as connection:
        shop_metadata.create_all(connection)
        for first, (day, count) in enumerate(rows.items()):
            values = {"first": first * 10**9, "day": f"{day} 00:00:00+00", "rows": count}
            connection.exec_driver_sql(FILL, values)
    with postgres.changing(settings.shop_owner_url, "fill") as connection:
        connection.exec_driver_sql("ANALYZE shop.events")


def is_fast(settings: Settings, server: Server, rows: int) -> bool:
    """Print how fast the ways read a day, and tell whether both claims of speed hold."""
    with source.warehouse(settings) as warehouse:
        query = postgres.literal(warehouse.query([LARGE]))
    ways: dict[str, Callable[[], object]] = {
        "bare binary COPY": lambda: copy(server.binaries() / "psql", settings, query),
        "into Arrow": lambda: arrow(settings),
        "pandas.read_sql": lambda: read_sql(settings, query),
    }
    taken: dict[str, list[float]] = {way: [] for way in ways}
    used: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, work in ways.items():
            before, begun = processor(server), time.perf_counter()
            work()
            taken[way].append(time.perf_counter() - begun)
            after = processor(server)
            used[way].append((after[0] - before[0], after[1] - before[1]))
    for way, seconds in taken.items():
        of_server, of_reader = (statistics.median(parts) for parts in zip(*used[way], strict=True))
        print(
            f"{way:18} {rows / statistics.median(seconds):12,.0f} rows a second; processor: server "
            f"{of_server:.1f} s, reader {of_reader:.1f} s",
            flush=True,
        )
    of_copy = ratio(taken["bare binary COPY"], taken["into Arrow"])
    of_pandas = ratio(taken["pandas.read_sql"], taken["into Arrow"])
    print(f"Arrow: {said(of_copy)} of bare COPY, {said(of_pandas)} times pandas")
    fine = statistics.median(of_copy) >= LEAST_OF_COPY
    return fine and statistics.median(of_pandas) >= LEAST_OF_PANDAS


def is_small(settings: Settings, rows: int) -> bool:
    """Print what whole extracts of both days take, and tell whether they stay below the limit."""
    most = 0.0
    for day, count in ((SMALL, rows // 4), (LARGE, rows)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, megabytes = pool.apply(whole, (settings, day))
        most = max(most, megabytes)
        print(f"whole extract of {count:,} rows: {seconds:.1f} s, {count / seconds:,.0f} rows a "
              f"second, {megabytes:.0f} MB at most", flush=True)  # fmt: skip
    return most < MOST_MEGABYTES


def processor(server: Server) -> tuple[float, float]:
    """Return the seconds of processor of all ended backends, and of this process and its own."""
    time.sleep(0.2)  # a backend ends a little after its client
    postmaster = (server.data / "postmaster.pid").read_text().split()[0]
    fields = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])


def copy(psql: Path, settings: Settings, query: str) -> None:
    url = sa.make_url(settings.shop_url.get_secret_value()).set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    statement = f"COPY ({query}) TO STDOUT (FORMAT binary)"
    subprocess.run([psql, address, "-c", statement], stdout=subprocess.DEVNULL, check=True)


def arrow(settings: Settings) -> None:
    with source.warehouse(settings) as warehouse:
        for block in warehouse.stream([LARGE]):
            del block


def read_sql(settings: Settings, query: str) -> None:
    with postgres.reading(settings.shop_url) as connection:
        pd.read_sql(query.replace("%", "%%"), connection)


def whole(settings: Settings, day: date) -> tuple[float, float]:
    """Copy one day; return seconds, and the most memory of this process, MB."""
    begun = time.perf_counter()
    copy_days.complete_snapshots(settings, day, day)
    # Not ru_maxrss, which begins with what the parent had.
    status = Path("/proc/self/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return time.perf_counter() - begun, int(peak) / 1024


def ratio(theirs: list[float], ours: list[float]) -> list[float]:
    return [a / b for a, b in zip(theirs, ours, strict=True)]


def said(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    given = sys.argv[1:]
    main(next(map(int, filter(str.isdigit, given)), 4_000_000), memory_alone="memory" in given)
