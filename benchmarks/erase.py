"""Measure the seconds to erase one customer from a long history, and check that nothing remains.

A simulated shop of ten million events is loaded and copied to snapshots. Scores, predictions and
outcomes of every customer are invented for fourteen days. Then customers are erased one by one, and
a hundred together. The lower bound is one pass over the files and tables to search.

Command: `python -m benchmarks.erase [CUSTOMERS]`; 86,000 customers are 10 million events, about ten
minutes and 6 GB of temporary disk space. It prints the seconds of each part, and how many rows and
bytes of all tables and files hold the id or the key, before and after; the search before is the
control. It fails when anything of a customer erased alone is left, also after the next extract.
"""

import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from benchmarks.support import servers
from benchmarks.support.arguments import arguments_of
from intent_tasks import simulator
from intent_tasks.core.identity import buckets_of
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.settings import Settings
from intent_tasks.steps import extract
from intent_tasks.stores import identity_keys, migrate, postgres, score_files, simulated_shop
from intent_tasks.stores.privacy import erasure

LAST_DAY, DAYS, PREDICTED_DAYS, SINGLE_COUNT, BATCH_COUNT = (
    date(2026, 6, 30),
    120,
    14,
    7,
    100,
)

PREDICT = """
INSERT INTO intent.predictions (as_of_date, customer_id, role, probability_1d, probability_3d,
    probability_7d, probability_14d, band, stage, reason, fallback_level, model_version, run_id,
    scored_at)
SELECT :day, customer_id, 'champion', 0.1, 0.2, 0.3, 0.4, 'cool', 'browsing',
    'View of p1 raised it.', 'model', 1, 'run', :day
FROM intent.customer_keys
"""

OUTCOMES = """
INSERT INTO intent.outcomes
SELECT :day, customer_id, h, false, 0, :day FROM intent.customer_keys, unnest(ARRAY[1, 3, 7, 14]) h
"""


def main() -> None:
    """Print the figures; fail when anything of a customer is left."""
    parser = arguments_of(__doc__)
    parser.add_argument("customers", type=int, nargs="?", default=86_000)
    customers = parser.parse_args().customers
    with servers.installation("erase", history_days=DAYS) as (_, settings):
        prepare_shop(settings, customers)
        sys.exit(not measure(settings))


def prepare_shop(settings: Settings, customers: int) -> None:
    """Load the shop, copy it to snapshots and predict all customers on the last days."""
    migrate.migrate(settings)
    start = time.perf_counter()
    config = simulator.Config(customers=customers, days=DAYS, last_day=LAST_DAY)
    shop = simulator.PlantedShop(config, {}, for_postgres=True)
    people = simulator.customers(config)
    rows = simulated_shop.load(
        settings, "shop", "d", shop.events(), simulator.catalogue(config), people
    )
    print(f"{rows:,} events loaded after {time.perf_counter() - start:.0f} s", flush=True)
    extract.run(settings, LAST_DAY)
    print(f"copied to snapshots after {time.perf_counter() - start:.0f} s", flush=True)
    with postgres.reading(settings.pipeline_url) as connection:
        query = sa.text("SELECT customer_key FROM intent.customer_keys")
        keys = connection.scalars(query).all()
    buckets = buckets_of(keys, settings.bucket_count)
    for n in range(PREDICTED_DAYS):
        day = LAST_DAY - timedelta(days=n)
        with postgres.changing(settings.pipeline_url, "predict") as connection:
            postgres.ensure_partition(connection, day)
            connection.execute(sa.text(PREDICT), {"day": day})
            connection.execute(sa.text(OUTCOMES), {"day": day})
        for bucket in range(settings.bucket_count):
            of_bucket = [key for key, b in zip(keys, buckets, strict=True) if b == bucket]
            score_files.write(settings.home, day, bucket, invent_scores(of_bucket))
    with postgres.engine(settings.migrator_url).connect() as connection:
        connection.execute(sa.text("ANALYZE intent.predictions, intent.outcomes"))
        connection.commit()
    print(f"predicted after {time.perf_counter() - start:.0f} s", flush=True)


def invent_scores(keys: list[str]) -> pa.Table:
    """Return a score of each customer key."""
    count = len(keys)
    texts = {"role": "champion", "band": "cool", "stage": "browsing", "reason": "View."}
    texts["fallback_level"] = "model"
    columns = {name: pa.array([text] * count) for name, text in texts.items()}
    columns |= {f"probability_{h}d": pa.array([0.1] * count) for h in HORIZONS_DAYS}
    nothing = pa.nulls(count, pa.string())
    return pa.table({"customer_key": keys, "reasons": nothing, "channel": nothing} | columns)


class Clock:
    """Seconds of each part of an erasure."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.start("before")

    def start(self, part: str) -> None:
        """End the last part and start one."""
        now = time.perf_counter()
        if self.parts:
            last = list(self.parts)[-1]
            self.parts[last] = now - self.parts[last]
        self.parts[part] = now

    def __str__(self) -> str:
        return ", ".join(
            f"{part} {seconds:.2f} s" for part, seconds in list(self.parts.items())[:-1]
        )


def measure(settings: Settings) -> bool:
    """Erase customers, print the seconds, and return whether nothing of them is left."""
    with postgres.reading(settings.pipeline_url) as connection:
        query = sa.text("SELECT customer_id FROM intent.customer_keys ORDER BY customer_key")
        ids = connection.scalars(query).all()
    single, batch = ids[:SINGLE_COUNT], ids[SINGLE_COUNT : SINGLE_COUNT + BATCH_COUNT]
    print("search before, one customer:", search(settings, single[:1]), flush=True)
    seconds = []
    for customer in single:
        start, used = time.perf_counter(), time.process_time()
        clock = Clock()
        (erased,) = erasure.erase(settings, [customer], clock.start)
        seconds.append(time.perf_counter() - start)
        clock.start("")
        print(f"        {clock}; processor of this process {time.process_time() - used:.2f} s")
        print(f"{seconds[-1]:6.2f} s  {sum(erased.removed.values()):5} rows  {erased.removed}")
    start = time.perf_counter()
    erasure.erase(settings, batch)
    print(f"{BATCH_COUNT} customers together: {time.perf_counter() - start:.2f} s")
    remaining = search(settings, single)
    print(f"search after, the {SINGLE_COUNT} single ones: {remaining}", flush=True)
    print(
        f"one customer: {sorted(seconds)[len(seconds) // 2]:.2f} s median of {len(seconds)}, "
        f"{min(seconds):.2f} to {max(seconds):.2f}"
    )
    receipt = extract.run(settings, LAST_DAY)
    repaired = receipt["days_written"] + receipt["days_repaired"]
    print(f"days the next extract wrote again: {repaired}")
    after_extract = search(settings, single)
    print(f"search after that extract: {after_extract}", flush=True)
    return not any([*remaining.values(), *after_extract.values(), repaired])


def search(settings: Settings, ids: list[str]) -> dict[str, int]:
    """Return the `rows` of tables that hold an id or a key, and the `bytes` of these in files."""
    identifiers = {*ids, *identity_keys.keys(settings, ids).to_pylist()}
    return {
        "rows": count_rows(settings, identifiers),
        "bytes": count_bytes(settings.home, identifiers),
    }


def count_rows(settings: Settings, identifiers: set[str]) -> int:
    """Return the number of rows whose text contains an id or a key (simulated ids have one length).

    Tombstones do not count: they hold the key so that the customer is not collected again.
    """
    tables = sa.text(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE relkind = 'r' AND nspname = :schema AND relname <> 'erasures'"
    )
    count = 0
    patterns = [f"%{identifier}%" for identifier in sorted(identifiers)]
    for schema, url in (("intent", settings.migrator_url), ("shop", settings.shop_owner_url)):
        with postgres.engine(url).connect() as connection:
            for table in connection.scalars(tables, {"schema": schema}).all():
                query = sa.text(
                    f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE ANY(:patterns)"
                )
                count += connection.execute(query, {"patterns": patterns}).scalar_one()
    return count


def count_bytes(home: Path, identifiers: set[str]) -> int:
    """Return the bytes of the ids and keys found in the files; Parquet is decoded."""
    size = 0
    for path in (p for p in home.rglob("*") if p.is_file()):
        if path.suffix != ".parquet":
            content = path.read_bytes()
            size += sum(
                content.count(identifier.encode()) * len(identifier) for identifier in identifiers
            )
            continue
        for column in pq.read_table(path).columns:
            if pa.types.is_string(column.type):
                hits = column.filter(pc.is_in(column, value_set=pa.array(sorted(identifiers))))
                size += pc.sum(pc.binary_length(hits)).as_py() or 0
    return size


if __name__ == "__main__":
    main()
