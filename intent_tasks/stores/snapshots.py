"""Snapshots: immutable Parquet of the events ingested in one day, per bucket.

The manifest of a day lists its files with their digests and is replaced in one rename. A snapshot
exists when its manifest does. A file that no manifest lists is a leftover of a killed run.
"""

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from intent_tasks.core.identity import buckets_of
from intent_tasks.core.rules import IDENTITY
from intent_tasks.definition import SNAPSHOT_STEP, Definition
from intent_tasks.errors import BadInput
from intent_tasks.stores.atomic_files import ParquetFile, private_folder, replace

log = logging.getLogger(__name__)

Manifest = dict[str, Any]

STEP = SNAPSHOT_STEP

INSTANT = pa.timestamp("us", tz="UTC")

SCHEMA = pa.schema(
    [
        pa.field("customer_key", pa.string(), nullable=False),
        pa.field("event_id", pa.string(), nullable=False),
        pa.field("session_id", pa.string()),
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("product_id", pa.string()),
        pa.field("category_path", pa.string()),
        pa.field("brand", pa.string()),
        pa.field("title", pa.string()),
        pa.field("picture", pa.string()),
        pa.field("quantity", pa.int32()),
        pa.field("price", pa.float64()),
        pa.field("query_text", pa.string()),
        pa.field("review_text", pa.string()),
        pa.field("rating", pa.int8()),
        pa.field("channel", pa.string()),
        pa.field("device", pa.string()),
        pa.field("occurred_at", INSTANT, nullable=False),
        pa.field("ingested_at", INSTANT, nullable=False),
    ]
)
"""Columns of a snapshot.

`ingested_at` is `occurred_at` if the shop does not record it. Columns of products have the values
of the time of writing. `core/image_codes.py` computes `picture`. A column that the files of an
earlier release lack is null.
"""

SAME_EVENT = ["customer_key", *(name for name in IDENTITY if name != "customer_id")]
_ORDER = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]


def write_day(
    home: Path,
    day: date,
    events: pa.Table,
    bucket_count: int,
    warehouse_rows: int,
    key_id: str = "k1",
) -> Manifest:
    """Write the snapshot of one day and return its manifest.

    Args:
        home: state folder.
        day: shop day the events were ingested on.
        events: columns of `SCHEMA`, in any order of rows.
        bucket_count: number of shards of customers.
        warehouse_rows: rows of that day in the warehouse, including bad ones.
        key_id: name of the key of the customer_keys.
    """
    buckets = buckets_of(events["customer_key"].to_pylist(), bucket_count)
    parts = [[events.filter(pa.array(buckets == bucket))] for bucket in range(bucket_count)]
    return write_buckets(home, day, parts, warehouse_rows, key_id)


def write_buckets(
    home: Path,
    day: date,
    buckets: Iterable[Iterable[pa.Table]],
    warehouse_rows: int,
    key_id: str,
    time_zone: str | None = None,
) -> Manifest:
    """Write the snapshot of one day, which need not fit into memory, and return its manifest.

    Args:
        home: state folder.
        day: shop day the events were ingested on.
        buckets: for each bucket its events, columns of `SCHEMA`, in parts: each holds all rows of
            its customers in any order, and no customer_key less than one of an earlier part.
        warehouse_rows: rows of that day in the warehouse, including bad ones.
        key_id: name of the key of the customer_keys.
        time_zone: IANA name of the zone of the shop day.
    """
    folder = day_folder(home, day)
    private_folder(folder)
    files = [
        _write_parts(folder, bucket, (_sorted(part) for part in parts))
        for bucket, parts in enumerate(buckets)
    ]
    return name_files(
        folder,
        {
            "day": str(day),
            "key_id": key_id,
            "time_zone": time_zone,
            "warehouse_rows": warehouse_rows,
            "bucket_count": len(files),
        },
        files,
    )


def _sorted(events: pa.Table) -> pa.Table:
    # One chunk: Arrow takes rows from many chunks much more slowly.
    return events.select(SCHEMA.names).cast(SCHEMA).combine_chunks().sort_by(_ORDER)


def name_files(folder: Path, facts: Manifest, files: list[dict[str, Any]]) -> Manifest:
    """Replace the manifest of a day by one that lists these files, and remove all others."""
    written = facts | {
        "rows": sum(f["rows"] for f in files),
        "files": files,
        "digest": hashlib.sha256("".join(f["digest"] for f in files).encode()).hexdigest(),
    }
    replace(folder / "manifest.json", json.dumps(written, indent=1).encode())
    _remove_unnamed(folder, {f["path"] for f in files})
    return written


def manifest(home: Path, day: date) -> Manifest | None:
    """Return the manifest of a day, or None if there is no snapshot of it."""
    try:
        content: Manifest = json.loads((day_folder(home, day) / "manifest.json").read_bytes())
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return content


def days(home: Path) -> list[date]:
    """Return the days that have a snapshot, earliest first."""
    named = sorted(home.glob("snapshots/day=*/manifest.json"))
    return [date.fromisoformat(path.parent.name.removeprefix("day=")) for path in named]


def digest(home: Path, chosen_days: Iterable[date]) -> str:
    """Return one digest of the snapshots of several days.

    Raises:
        BadInput: a day has no snapshot.
    """
    digests = [m["digest"] for m in manifests(home, sorted(chosen_days))]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def read(
    home: Path,
    definition: Definition,
    as_of_date: date,
    buckets: Iterable[int],
    first_day: date | None = None,
) -> pa.Table:
    """Return the events of some buckets that were known at the end of a day.

    Args:
        home: state folder.
        definition: gives the ends of shop days and the length of the history.
        as_of_date: shop day; nothing ingested after its end is returned.
        buckets: buckets of customers.
        first_day: earliest shop day of occurrence; by default the first of the history.

    Returns:
        Columns of `SCHEMA`, sorted by customer_key, occurred_at and event_id; each event once.

    Raises:
        BadInput: the snapshot of a day is missing or damaged, or was cut by another time zone.
    """
    first = first_day or definition.first_history_day(as_of_date)
    day_manifests = manifests(home, _days_between(first, as_of_date))
    require_zone(definition, day_manifests)
    chosen = set(buckets)
    tables = [
        read_file(home, day, file)
        for day in day_manifests
        for file in day["files"]
        if file["bucket"] in chosen
    ]
    events = pa.concat_tables([SCHEMA.empty_table(), *tables])
    start, end = definition.day_start(first), definition.day_end(as_of_date)
    occurred = events["occurred_at"]
    inside = pc.and_(
        pc.greater_equal(occurred, pa.scalar(start, INSTANT)),
        pc.less(occurred, pa.scalar(end, INSTANT)),
    )
    return _remove_later_copies(events.filter(inside)).sort_by(_ORDER)


def is_cut_by(definition: Definition, day: Manifest) -> bool:
    """Return whether a day begins and ends with that of the shop's zone, or has no zone."""
    zone, on = day.get("time_zone"), date.fromisoformat(day["day"])
    if zone is None or zone == definition.time_zone:
        return True
    cut = Definition(zone)
    return (cut.day_start(on), cut.day_end(on)) == (
        definition.day_start(on),
        definition.day_end(on),
    )


def require_zone(definition: Definition, day_manifests: Iterable[Manifest]) -> None:
    """Check that days were cut in the shop's zone; with two zones, some events would be missing.

    Raises:
        BadInput: a day was cut in another zone.
    """
    other = [m for m in day_manifests if not is_cut_by(definition, m)]
    if other:
        raise BadInput(
            f"{len(other)} snapshots, of {other[0]['day']} to {other[-1]['day']}, end at midnight "
            f"in {other[0]['time_zone']}, and INTENT_TIME_ZONE is {definition.time_zone}. Nothing "
            "was changed. Set it back, or run `intent recut`, which copies these days from the "
            "warehouse again."
        )


def _remove_later_copies(events: pa.Table) -> pa.Table:
    """Return the first arrival of each event, because a shop may send an event on two days.

    Rows with the same event_id but another customer, type or product are different events, and all
    of them stay.
    """
    if pc.count_distinct(events["event_id"]).as_py() == events.num_rows:
        return events
    names = ["event_id", *SAME_EVENT]
    order = [*names, "ingested_at", "occurred_at"]
    events = events.sort_by([(name, "ascending") for name in order])
    is_later = same_as_before(events, names)
    if changed := _count_changed(events, is_later):
        log.warning(
            "%d later copies of events have another price or quantity than the copy before. The "
            "first arrival of each event is used.",
            changed,
        )
    return events.filter(pc.invert(is_later))


def _count_changed(events: pa.Table, is_later: pa.Array) -> int:
    """Count the later copies with another price or quantity than the previous row."""
    other = pa.array(np.zeros(max(events.num_rows - 1, 0), bool))
    for name in ("price", "quantity"):
        values = pc.fill_null(events[name].combine_chunks(), -1)
        other = pc.or_(other, pc.not_equal(values[1:], values[:-1]))
    return pc.sum(pc.and_(other, is_later[1:])).as_py() or 0


def same_as_before(rows: pa.Table, names: Iterable[str]) -> pa.Array:
    """Return whether each row has the same texts as the previous row; null equals null."""
    same = pa.array(np.ones(max(rows.num_rows - 1, 0), bool))
    for name in names:
        values = pc.fill_null(rows[name].combine_chunks(), "")
        same = pc.and_(same, pc.equal(values[1:], values[:-1]))
    return pa.concat_arrays([pa.array([False]), same]).slice(0, rows.num_rows)


def manifests(home: Path, chosen_days: Sequence[date]) -> list[Manifest]:
    """Return the manifests of days.

    Raises:
        BadInput: a day has no snapshot.
    """
    by_day = {day: manifest(home, day) for day in chosen_days}
    missing = [str(day) for day, m in by_day.items() if m is None]
    if missing:
        listed = ", ".join(missing[:5]) + (" …" if len(missing) > 5 else "")
        raise BadInput(
            f"{len(missing)} days have no snapshot: {listed}. "
            f"Run `intent step extract --as-of-date {missing[-1]}`."
        )
    return [m for m in by_day.values() if m is not None]


def _days_between(first: date, last: date) -> list[date]:
    return [first + timedelta(days=n) for n in range((last - first).days + 1)]


def day_folder(home: Path, day: date) -> Path:
    """Return the folder of the snapshot of a day."""
    return home / "snapshots" / f"day={day}"


def write_file(folder: Path, bucket: int, rows: pa.Table) -> dict[str, Any]:
    """Write the file of one bucket, rows in their order, and return its entry in the manifest."""
    return _write_parts(folder, bucket, [rows])


def _write_parts(folder: Path, bucket: int, parts: Iterable[pa.Table]) -> dict[str, Any]:
    with ParquetFile(folder, SCHEMA) as file:
        for part in parts:
            file.write(part)
    name = f"bucket={bucket:03d}.{file.digest[:12]}.parquet"
    file.rename_to(folder / name)
    return {"bucket": bucket, "path": name, "rows": file.rows, "digest": file.digest}


def read_file(
    home: Path, day: Manifest, file: dict[str, Any], columns: Sequence[str] = SCHEMA.names
) -> pa.Table:
    """Return the events of one file of a day, in its order of rows.

    Raises:
        BadInput: it is missing or damaged.
    """
    path = day_folder(home, date.fromisoformat(day["day"])) / file["path"]
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    if hashlib.sha256(content).hexdigest() != file["digest"]:
        raise BadInput(
            f"The snapshot file {path} is damaged, missing, or was repaired just now. "
            f"If it stays so, delete {path.parent} and run "
            f"`intent step extract --as-of-date {day['day']}`."
        )
    return pq.read_table(pa.BufferReader(content), schema=SCHEMA, columns=list(columns))


def _remove_unnamed(folder: Path, named: set[str]) -> None:
    for path in folder.glob("*.parquet"):
        if path.name not in named:
            path.unlink(missing_ok=True)
