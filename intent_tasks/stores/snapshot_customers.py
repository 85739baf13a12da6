"""Find, list and remove single customers in snapshots."""

from collections.abc import Collection
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.identity import buckets_of
from intent_tasks.stores import snapshots

FOUND_SCHEMA = pa.schema([snapshots.SCHEMA.field(name) for name in ("customer_key", "occurred_at")])


def find(home: Path, day: date, keys: Collection[str]) -> pa.Table:
    """Return customer_key and occurred_at of the events of some customers on a day of arrival.

    Raises:
        BadInput: there is no snapshot of that day, or a file of it is damaged.
    """
    (manifest,) = snapshots.manifests(home, [day])
    buckets = set(buckets_of(sorted(keys), manifest["bucket_count"]).tolist())
    tables = [
        _filter(snapshots.read_file(home, manifest, file, list(FOUND_SCHEMA.names)), keys)
        for file in manifest["files"]
        if file["bucket"] in buckets
    ]
    return pa.concat_tables([FOUND_SCHEMA.empty_table(), *tables])


def list_customers(home: Path, day: date) -> pa.Table:
    """Return the distinct customer_keys with an event on a day of arrival."""
    (manifest,) = snapshots.manifests(home, [day])
    keys = pa.concat_tables(
        snapshots.read_file(home, manifest, file, ["customer_key"]) for file in manifest["files"]
    )
    return keys.group_by("customer_key").aggregate([])


def remove(home: Path, day: date, keys: Collection[str]) -> snapshots.Manifest:
    """Remove customers from the files of a day; return the new manifest.

    The caller holds the lock of the day. Files that a killed run left are deleted as well.

    Raises:
        BadInput: there is no snapshot of that day, or a file of it is damaged.
    """
    (manifest,) = snapshots.manifests(home, [day])
    folder = snapshots.day_folder(home, day)
    buckets = set(buckets_of(sorted(keys), manifest["bucket_count"]).tolist())
    files = []
    for file in manifest["files"]:
        if file["bucket"] in buckets:
            rows = snapshots.read_file(home, manifest, file)
            remaining = _filter(rows, keys, invert=True)
            if remaining.num_rows < rows.num_rows:
                file = snapshots.write_file(folder, file["bucket"], remaining)
        files.append(file)
    for leftover in folder.glob(".*"):
        leftover.unlink(missing_ok=True)
    return snapshots.name_files(folder, manifest, files)


def has_leftovers(home: Path, day: date) -> bool:
    """Return whether a killed run left files in the folder of a day."""
    manifest = snapshots.manifest(home, day)
    named = {"manifest.json", *(file["path"] for file in manifest["files"])} if manifest else set()
    return any(path.name not in named for path in snapshots.day_folder(home, day).iterdir())


def _filter(events: pa.Table, keys: Collection[str], invert: bool = False) -> pa.Table:
    """Return the rows of these customers, or of all others."""
    selected = pc.is_in(events["customer_key"], value_set=pa.array(sorted(keys), pa.string()))
    return events.filter(pc.invert(selected) if invert else selected)
