"""Speed and memory of copying a day of events from the warehouse.

Upper bound: a bare binary COPY of the same query (psql to /dev/null). Peer: `pandas.read_sql`.
Claims on two cores: the complete extract reaches at least 0.3 of the bound, and reading into Arrow
at least 0.8 of it and five times pandas; the complete extract needs less than 1 GiB for a day of
any size.
Command: `python -m benchmarks.extract [ROWS]`; 4,000,000 take about four minutes and 3 GB of disk.
`python -m benchmarks.extract memory 10000000` measures only memory, for days that pandas cannot
hold.
Each figure is the median of three rounds, with the smallest and the largest; the readers take
turns. On an idle machine with two cores, the time is the larger of the processor seconds of server
and reader. Memory is the peak of a process of its own, for a quarter of the rows and for all. The
complete extract also counts, checks, keys, sorts and writes rows. In its first round, which is the
smallest figure as a rule, all customers are new.
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

from benchmarks.support import servers
from benchmarks.support.arguments import arguments_of
from intent_tasks.local.postgres import Server
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.stores.extracting import copy_days, source
from intent_tasks.tables import shop_metadata

SMALL, LARGE = date(2026, 6, 29), date(2026, 6, 30)
ROUNDS, LEAST_OF_COPY, LEAST_OF_PANDAS, MAX_MEGABYTES = 3, 0.8, 5, 1024
LEAST_COMPLETE = 0.3

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


def main() -> None:
    """Print the figures; fail when a claim does not hold."""
    parser = arguments_of(__doc__)
    parser.add_argument("what", nargs="*", metavar="memory | ROWS", default=[])
    given = parser.parse_args().what
    rows = next(map(int, filter(str.isdigit, given)), 4_000_000)
    with servers.installation("extract") as (server, settings):
        fill(settings, {SMALL: rows // 4, LARGE: rows})
        if "memory" in given:
            sys.exit(not is_small(settings, rows))
        fast = [is_near_copy(settings, server, rows), is_fast(settings, server, rows)]
        sys.exit(not (is_small(settings, rows) and all(fast)))


def fill(settings: Settings, rows: dict[date, int]) -> None:
    with postgres.changing(settings.shop_owner_url, "fill") as connection:
        shop_metadata.create_all(connection)
        for first, (day, count) in enumerate(rows.items()):
            values = {"first": first * 10**9, "day": f"{day} 00:00:00+00", "rows": count}
            connection.exec_driver_sql(FILL, values)
    with postgres.changing(settings.shop_owner_url, "fill") as connection:
        connection.exec_driver_sql("ANALYZE shop.events")


def is_near_copy(settings: Settings, server: Server, rows: int) -> bool:
    """Print the speed of the complete extract; return whether it is near enough to a bare COPY."""
    with source.warehouse(settings) as warehouse:
        query = postgres.literal(warehouse.query([LARGE]))
    drained: list[float] = []
    extracted: list[float] = []
    used: list[float] = []
    for number in range(ROUNDS):
        start = time.perf_counter()
        drain_copy(server.binaries() / "psql", settings, query)
        drained.append(time.perf_counter() - start)
        # A new home has no snapshot, so that the day is copied another time.
        fresh = settings.model_copy(update={"home": settings.home / f"round {number}"})
        before = sum(processor_seconds(server))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            extracted.append(pool.apply(extract_day, (fresh, LARGE))[0])
            pool.close()
            pool.join()
        used.append(sum(processor_seconds(server)) - before)
    of_copy = ratios(drained, extracted)
    print(
        f"complete extract: {median_and_range(of_copy)} of bare COPY, "
        f"{rows / statistics.median(extracted):,.0f} rows a second; processor of server and "
        f"extract {statistics.median(used):.1f} s",
        flush=True,
    )
    return statistics.median(of_copy) >= LEAST_COMPLETE


def is_fast(settings: Settings, server: Server, rows: int) -> bool:
    """Print the speed of each reader; return whether both claims of speed hold."""
    with source.warehouse(settings) as warehouse:
        query = postgres.literal(warehouse.query([LARGE]))
    readers: dict[str, Callable[[], object]] = {
        "bare binary COPY": lambda: drain_copy(server.binaries() / "psql", settings, query),
        "into Arrow": lambda: read_arrow(settings),
        "pandas.read_sql": lambda: read_pandas(settings, query),
    }
    seconds_of: dict[str, list[float]] = {name: [] for name in readers}
    used: dict[str, list[tuple[float, float]]] = {name: [] for name in readers}
    for _ in range(ROUNDS):
        for name, read in readers.items():
            before, start = processor_seconds(server), time.perf_counter()
            read()
            seconds_of[name].append(time.perf_counter() - start)
            after = processor_seconds(server)
            used[name].append((after[0] - before[0], after[1] - before[1]))
    for name, seconds in seconds_of.items():
        of_server, of_reader = (statistics.median(parts) for parts in zip(*used[name], strict=True))
        print(
            f"{name:18} {rows / statistics.median(seconds):12,.0f} rows a second; "
            f"processor: server {of_server:.1f} s, reader {of_reader:.1f} s",
            flush=True,
        )
    of_copy = ratios(seconds_of["bare binary COPY"], seconds_of["into Arrow"])
    of_pandas = ratios(seconds_of["pandas.read_sql"], seconds_of["into Arrow"])
    print(
        f"Arrow: {median_and_range(of_copy)} of bare COPY, "
        f"{median_and_range(of_pandas)} times pandas"
    )
    near_copy = statistics.median(of_copy) >= LEAST_OF_COPY
    return near_copy and statistics.median(of_pandas) >= LEAST_OF_PANDAS


def is_small(settings: Settings, rows: int) -> bool:
    """Print time and memory of both extracts; return whether memory is below the limit."""
    peak_megabytes = 0.0
    for day, count in ((SMALL, rows // 4), (LARGE, rows)):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, megabytes = pool.apply(extract_day, (settings, day))
        peak_megabytes = max(peak_megabytes, megabytes)
        print(f"complete extract of {count:,} rows: {seconds:.1f} s, {count / seconds:,.0f} rows a "
              f"second, {megabytes:.0f} MB at most", flush=True)  # fmt: skip
    return peak_megabytes < MAX_MEGABYTES


def processor_seconds(server: Server) -> tuple[float, float]:
    """Return processor seconds of all ended backends, and of this process and its children."""
    time.sleep(0.2)  # a backend ends a little after its client
    postmaster = (server.data / "postmaster.pid").read_text().split()[0]
    fields = Path(f"/proc/{postmaster}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])


def drain_copy(psql: Path, settings: Settings, query: str) -> None:
    url = sa.make_url(settings.shop_url.get_secret_value()).set(drivername="postgresql")
    address = url.render_as_string(hide_password=False)
    statement = f"COPY ({query}) TO STDOUT (FORMAT binary)"
    subprocess.run([psql, address, "-c", statement], stdout=subprocess.DEVNULL, check=True)


def read_arrow(settings: Settings) -> None:
    with source.warehouse(settings) as warehouse:
        for block in warehouse.stream([LARGE]):
            del block


def read_pandas(settings: Settings, query: str) -> None:
    with postgres.reading(settings.shop_url) as connection:
        pd.read_sql(query.replace("%", "%%"), connection)


def extract_day(settings: Settings, day: date) -> tuple[float, float]:
    """Copy one day; return the seconds, and the peak memory of this process in MB."""
    start = time.perf_counter()
    copy_days.complete_snapshots(settings, day, day)
    # Not ru_maxrss, which a new process inherits from its parent.
    status = Path("/proc/self/status").read_text()
    peak = next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    return time.perf_counter() - start, int(peak) / 1024


def ratios(peer: list[float], own: list[float]) -> list[float]:
    """Return the speed-up of this extract over the other, by round."""
    return [a / b for a, b in zip(peer, own, strict=True)]


def median_and_range(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
