"""Find, list and remove single customers in snapshots."""

from collections.abc import Collection
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.identity import buckets_of
from intent_tasks.stores import snapshots

FOUND = pa.schema([snapshots.SCHEMA.field(name) for name in ("customer_key", "occurred_at")])


def find(home: Path, day: date, keys: Collection[str]) -> pa.Table:
    """Return customer_key and occurred_at of the events of some customers on a day of arrival.

    Raises:
        BadInput: there is no snapshot of that day, or a file of it is damaged.
    """
    (found,) = snapshots.manifests(home, [day])
    wanted = set(buckets_of(sorted(keys), found["bucket_count"]).tolist())
    tables = [
        _of(snapshots.read_file(home, found, f, list(FOUND.names)), keys)
        for f in found["files"]
        if f["bucket"] in wanted
    ]
    return pa.concat_tables([FOUND.empty_table(), *tables])


def customers(home: Path, day: date) -> pa.Table:
    """Return the customer_keys with an event on a day of arrival, each once."""
    (found,) = snapshots.manifests(home, [day])
    keys = pa.concat_tables(
        snapshots.read_file(home, found, f, ["customer_key"]) for f in found["files"]
    )
    return keys.group_by("customer_key").aggregate([])


def without(home: Path, day: date, keys: Collection[str]) -> snapshots.Manifest:
    """Remove customers from the files of a day; return the new manifest.

    The caller holds the lock of the day. Files that a killed run left are deleted as well.

    Raises:
        BadInput: there is no snapshot of that day, or a file of it is damaged.
    """
    (found,) = snapshots.manifests(home, [day])
    folder = snapshots.day_folder(home, day)
    wanted = set(buckets_of(sorted(keys), found["bucket_count"]).tolist())
    files = []
    for file in found["files"]:
        if file["bucket"] in wanted:
            rows = snapshots.read_file(home, found, file)
            kept = _of(rows, keys, others=True)
            if kept.num_rows < rows.num_rows:
                file = snapshots.write_file(folder, file["bucket"], kept)
        files.append(file)
    for rubbish in folder.glob(".*"):
        rubbish.unlink(missing_ok=True)
    return snapshots.name_files(folder, found, files)


def has_rubbish(home: Path, day: date) -> bool:
    """Return whether a killed run left files in the folder of a day."""
    found = snapshots.manifest(home, day)
    named = {"manifest.json", *(f["path"] for f in found["files"])} if found else set()
    return any(path.name not in named for path in snapshots.day_folder(home, day).iterdir())


def _of(events: pa.Table, keys: Collection[str], others: bool = False) -> pa.Table:
    """Return the rows of these customers, or of all others."""
    is_theirs = pc.is_in(events["customer_key"], value_set=pa.array(sorted(keys), pa.string()))
    return events.filter(pc.invert(is_theirs) if others else is_theirs)
