"""Rotate the identity key: give every customer a new customer_key, except in tombstones.

Files are rewritten first, each day under its lock, and `intent.customer_keys` last, in one
transaction. Until then every step refuses to work with the new key. A rotation that was killed
continues when it is run again, because each file names its key.
"""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import (
    atomic_files,
    identity_keys,
    ledger,
    postgres,
    score_files,
    snapshots,
)
from intent_tasks.stores.privacy import personal_data
from intent_tasks.stores.privacy.erased_rows import ARRIVALS, restate
from intent_tasks.tables import customer_keys


def rotate(settings: Settings, report: Callable[[str], object] = len) -> dict[str, int]:
    """Rewrite keys and files with the present key.

    Scores are deleted. The predictions hold those of published days; others are computed again.

    Returns:
        Number of customers, days and files that were rewritten.

    Raises:
        Refused: the earlier key is not in the settings, or is not the one that made the data.
    """
    pairs = _pairs(settings)
    report(f"{pairs.num_rows} customers get a key of {settings.identity_key_id!r}")
    days = 0
    for day in snapshots.days(settings.home):
        days += _rewrite_day(settings, day, pairs, report)
    with postgres.changing(settings.pipeline_url, "rotate"):
        files = sum(_rewrite(path, pairs) for path in settings.home.glob("training/**/*.parquet"))
        for day, bucket in score_files.list_written(settings.home):
            with ledger.transaction(settings, "score", day, bucket):
                score_files.file_of(settings.home, day, bucket).unlink(missing_ok=True)
    report("changing the keys in Postgres")
    return {"customers": _rewrite_tables(settings, pairs), "days": days, "files": files}


def _pairs(settings: Settings) -> pa.Table:
    """Return the old and the new key of every customer, columns `old` and `new`.

    If the tables are rewritten already, `old` is computed again for the remaining files.
    """
    query = sa.select(customer_keys.c.customer_id, customer_keys.c.customer_key)
    of_key = sa.select(customer_keys.c.key_id).distinct()
    with postgres.reading(settings.pipeline_url) as connection:
        names = set(connection.scalars(of_key)) - {settings.identity_key_id}
        rows = connection.execute(query).all()
    earlier = sorted(names or settings.previous_identity_keys)
    if missing := [name for name in earlier if name not in settings.previous_identity_keys]:
        raise Refused(
            f"The data is keyed with {', '.join(missing)}, which is not in "
            "INTENT_PREVIOUS_IDENTITY_KEYS. Nothing was changed. Add it there, as JSON."
        )
    ids = [row.customer_id for row in rows]
    new = identity_keys.keys(settings, ids)
    made = (
        pa.concat_tables(
            pa.table({"old": identity_keys.keys(settings, ids, name), "new": new})
            for name in earlier
        )
        if earlier
        else pa.table({"old": new, "new": new})
    )
    if names and rows and rows[0].customer_key not in made["old"].to_pylist():
        raise Refused(
            f"The key {', '.join(sorted(names))} in INTENT_PREVIOUS_IDENTITY_KEYS is not the one "
            "that the data is keyed with. Nothing was changed. Set the right one."
        )
    return made


def _rewrite_day(
    settings: Settings, day: date, pairs: pa.Table, report: Callable[[str], object]
) -> bool:
    with ledger.transaction(settings, snapshots.STEP, day) as connection:
        before = snapshots.manifest(settings.home, day)
        if before is None or before["key_id"] == settings.identity_key_id:
            return False
        report(f"rewriting the snapshot of {day}")
        tables = [snapshots.read_file(settings.home, before, file) for file in before["files"]]
        events = _with_new_keys(pa.concat_tables(tables), pairs)
        if events["customer_key"].null_count:
            raise Refused(
                f"The snapshot of {day} holds customers without a row in intent.customer_keys: "
                f"delete its folder in {settings.home / 'snapshots'}, and rotate again; the next "
                "extract copies the day anew."
            )
        after = snapshots.write_day(
            settings.home,
            day,
            events,
            before["bucket_count"],
            before["warehouse_rows"],
            settings.identity_key_id,
        )
        restate(connection, ARRIVALS, day, {}, digests=(before["digest"], after["digest"]))
    return True


def _with_new_keys(rows: pa.Table, pairs: pa.Table) -> pa.Table:
    """Replace each old key by the new one; a key that is neither old nor new becomes null."""
    positions = pc.index_in(rows["customer_key"], value_set=pairs["old"].combine_chunks())
    new = pc.take(pairs["new"], positions)
    is_new = pc.is_in(rows["customer_key"], value_set=pairs["new"].combine_chunks())
    keys = pc.if_else(is_new, rows["customer_key"], new)
    return rows.set_column(rows.column_names.index("customer_key"), "customer_key", keys)


def _rewrite(path: Path, pairs: pa.Table) -> bool:
    rows = pq.read_table(path)
    if "customer_key" not in rows.column_names:
        return False
    atomic_files.replace(path, atomic_files.parquet(_with_new_keys(rows, pairs)))
    return True


def _rewrite_tables(settings: Settings, pairs: pa.Table) -> int:
    """Change the keys of all registered tables in one transaction; return the number of pairs."""
    tables = [place.table for place in personal_data.TABLES if "customer_key" in place.table.c]
    pair = sa.table("new_keys", sa.column("old", sa.Text), sa.column("new", sa.Text))
    changed = 0
    with postgres.changing(settings.pipeline_url, "rotate") as connection:
        identity_keys.before_new_tombstones(connection)  # extracts wait
        connection.exec_driver_sql("CREATE TEMPORARY TABLE new_keys (old text, new text)")
        postgres.copy_in(connection, "new_keys", pairs)
        connection.exec_driver_sql("ANALYZE new_keys")
        for table in tables:
            values: dict[str, sa.ColumnElement[str]] = {"customer_key": pair.c.new}
            if "key_id" in table.c:
                values["key_id"] = sa.literal(settings.identity_key_id)
            old = sa.and_(table.c.customer_key == pair.c.old, pair.c.old != pair.c.new)
            rows = connection.execute(sa.update(table).where(old).values(values)).rowcount
            changed += rows if table is customer_keys else 0
        connection.exec_driver_sql("DROP TABLE new_keys")
    return changed
