"""How long the erasure of one customer takes in a long history, and whether anything is left.

A simulated shop of ten million events is loaded, copied to snapshots, and predicted for fourteen
days (scores, predictions and outcomes of everybody, made up; what they say is of no matter here).
Then single customers are erased, one after the other, and a hundred at once. Limit: one pass over
the files and tables that must be looked at, which is reading them once.

Command: `python -m benchmarks.erase [CUSTOMERS]`; 86,000 customers are 10 million events, about ten
minutes and 6 GB of disk that are given back. It prints seconds, places, and what a search for the
id and the key finds in all tables and files before and after: the search before is the control. It
fails when a row or a byte of one of the single customers is left, also after the next extract.
"""

import sys
import time
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from benchmarks import servers
from intent_tasks import simulator
from intent_tasks.core.identity import buckets_of
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.settings import Settings
from intent_tasks.steps import extract
from intent_tasks.stores import identity_keys, migrate, postgres, score_files, simulated_shop
from intent_tasks.stores.privacy import erasure

LAST_DAY, DAYS, PREDICTED_DAYS, LONE, TOGETHER = date(2026, 6, 30), 120, 14, 7, 100

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


def main(customers: int) -> None:
    with servers.installation("erase", history_days=DAYS) as (_, settings):
        live_in(settings, customers)
        sys.exit(not measure(settings))


def live_in(settings: Settings, customers: int) -> None:
    """Load the shop, copy it to snapshots and predict everybody on the last days."""
    migrate.migrate(settings)
    start = time.perf_counter()
    config = simulator.Config(customers=customers, days=DAYS, last_day=LAST_DAY)
    made = simulator.PlantedShop(config, {}, for_postgres=True)
    known = simulator.customers(config)
    rows = simulated_shop.load(
        settings, "shop", "d", made.events(), simulator.catalogue(config), known
    )
    print(f"{rows:,} events loaded after {time.perf_counter() - start:.0f} s", flush=True)
    extract.run(settings, LAST_DAY)
    print(f"copied to snapshots after {time.perf_counter() - start:.0f} s", flush=True)
    with postgres.reading(settings.pipeline_url) as connection:
        query = sa.text("SELECT customer_key FROM intent.customer_keys")
        keys = connection.scalars(query).all()
    place = buckets_of(keys, settings.bucket_count)
    for n in range(PREDICTED_DAYS):
        day = LAST_DAY - timedelta(days=n)
        with postgres.changing(settings.pipeline_url, "predict") as connection:
            postgres.ensure_partition(connection, day)
            connection.execute(sa.text(PREDICT), {"day": day})
            connection.execute(sa.text(OUTCOMES), {"day": day})
        for bucket in range(settings.bucket_count):
            of_bucket = [key for key, b in zip(keys, place, strict=True) if b == bucket]
            score_files.write(settings.home, day, bucket, scores(of_bucket))
    with postgres.engine(settings.migrator_url).connect() as connection:
        connection.execute(sa.text("ANALYZE intent.predictions, intent.outcomes"))
        connection.commit()
    print(f"predicted after {time.perf_counter() - start:.0f} s", flush=True)


def scores(keys: list[str]) -> pa.Table:
    count = len(keys)
    texts = {"role": "champion", "band": "cool", "stage": "browsing", "reason": "View."}
    texts["fallback_level"] = "model"
    columns = {name: pa.array([text] * count) for name, text in texts.items()}
    columns |= {f"probability_{h}d": pa.array([0.1] * count) for h in HORIZONS_DAYS}
    nothing = pa.nulls(count, pa.string())
    return pa.table({"customer_key": keys, "reasons": nothing, "channel": nothing} | columns)


class Clock:
    """How long each part of an erasure took."""

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}
        self.say("before")

    def say(self, part: str) -> None:
        """End the part before, and begin one."""
        now = time.perf_counter()
        if self.parts:
            last = list(self.parts)[-1]
            self.parts[last] = now - self.parts[last]
        self.parts[part] = now

    def __str__(self) -> str:
        return ", ".join(f"{part} {took:.2f} s" for part, took in list(self.parts.items())[:-1])


def measure(settings: Settings) -> bool:
    """Erase customers, print what it took, and return whether nothing of them is left."""
    with postgres.reading(settings.pipeline_url) as connection:
        query = sa.text("SELECT customer_id FROM intent.customer_keys ORDER BY customer_key")
        ids = connection.scalars(query).all()
    lone, together = ids[:LONE], ids[LONE : LONE + TOGETHER]
    print("search before, one customer:", search(settings, lone[:1]), flush=True)
    took = []
    for customer in lone:
        start, used = time.perf_counter(), time.process_time()
        clock = Clock()
        (erased,) = erasure.erase(settings, [customer], clock.say)
        took.append(time.perf_counter() - start)
        clock.say("")
        print(f"        {clock}; processor of this process {time.process_time() - used:.2f} s")
        print(f"{took[-1]:6.2f} s  {sum(erased.removed.values()):5} rows  {erased.removed}")
    start = time.perf_counter()
    erasure.erase(settings, together)
    print(f"{TOGETHER} customers at once: {time.perf_counter() - start:.2f} s")
    left = search(settings, lone)
    print(f"search after, the {LONE} single ones: {left}", flush=True)
    print(
        f"one customer: {sorted(took)[len(took) // 2]:.2f} s median of {len(took)}, "
        f"{min(took):.2f} to {max(took):.2f}"
    )
    receipt = extract.run(settings, LAST_DAY)
    repaired = receipt["days_written"] + receipt["days_repaired"]
    print(f"days the next extract wrote anew: {repaired}")
    again = search(settings, lone)
    print(f"search after that extract: {again}", flush=True)
    return not any([*left.values(), *again.values(), repaired])


def search(settings: Settings, ids: list[str]) -> dict[str, int]:
    """Return how many rows of tables and how many bytes of files hold an id or a key."""
    needles = {*ids, *identity_keys.keys(settings, ids).to_pylist()}
    return {"rows": rows_with(settings, needles), "bytes": bytes_with(settings.home, needles)}


def rows_with(settings: Settings, needles: set[str]) -> int:
    """Count rows of all tables in whose text a needle is: simulated ids have one length.

    Tombstones are left out: they hold the key so that the customer is not collected again.
    """
    tables = sa.text(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace "
        "WHERE relkind = 'r' AND nspname = :schema AND relname <> 'erasures'"
    )
    found = 0
    patterns = [f"%{needle}%" for needle in sorted(needles)]
    for schema, url in (("intent", settings.migrator_url), ("shop", settings.shop_owner_url)):
        with postgres.engine(url).connect() as connection:
            for table in connection.scalars(tables, {"schema": schema}).all():
                query = sa.text(
                    f"SELECT count(*) FROM {table} AS t WHERE t::text LIKE ANY(:patterns)"
                )
                found += connection.execute(query, {"patterns": patterns}).scalar_one()
    return found


def bytes_with(home: Path, needles: set[str]) -> int:
    """Return the size of the needles found in the files, Parquet unpacked."""
    found = 0
    for path in (p for p in home.rglob("*") if p.is_file()):
        if path.suffix != ".parquet":
            content = path.read_bytes()
            found += sum(content.count(needle.encode()) * len(needle) for needle in needles)
            continue
        for column in pq.read_table(path).columns:
            if pa.types.is_string(column.type):
                hits = column.filter(pc.is_in(column, value_set=pa.array(sorted(needles))))
                found += pc.sum(pc.binary_length(hits)).as_py() or 0
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 86_000)
