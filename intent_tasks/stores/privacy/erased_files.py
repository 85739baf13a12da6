"""Remove customers from files: snapshots, scores, files of training runs, exported lists."""

import csv
import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sqlalchemy as sa

from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings
from intent_tasks.stores import (
    atomic_files,
    ledger,
    postgres,
    score_files,
    snapshot_customers,
    snapshots,
)
from intent_tasks.stores.privacy import exporting
from intent_tasks.stores.privacy.erased_rows import ARRIVALS, People, Removed, restate
from intent_tasks.tables import exports


def clear_snapshots(settings: Settings, people: People, found: Mapping[date, pa.Table]) -> Removed:
    """Rewrite the snapshot files that hold the customers.

    Args:
        settings: of this installation.
        people: customers to remove.
        found: day of arrival → their events, as `snapshot_customers.find` returns them.
    """
    removed: Removed = Counter()
    for day, rows in found.items():
        with ledger.transaction(settings, snapshots.STEP, day) as connection:
            before = snapshots.manifest(settings.home, day) or {}
            after = snapshot_customers.remove(settings.home, day, people)
            count = before["rows"] - after["rows"]
            changes = {"rows_in_snapshot": -count, "rows_erased": count}
            digests = (before["digest"], after["digest"])
            restate(connection, ARRIVALS, day, changes, digests=digests)
        removed.update(("snapshots", key) for key in rows["customer_key"].to_pylist())
    return removed


def clear_scores(settings: Settings, people: People) -> Removed:
    """Rewrite the score files that hold the customers, and change their receipts."""
    removed: Removed = Counter()
    for day, bucket in score_files.list_written(settings.home):
        # Most files hold none of them and need no transaction.
        if _has_any(score_files.file_of(settings.home, day, bucket), people):
            erased = _clear_scores(settings, day, bucket, people)
            removed.update(("scores", key) for key in erased)
    return removed


def _has_any(path: Path, people: People) -> bool:
    keys = pq.read_table(path, columns=["customer_key"])
    return bool(pc.any(_are(keys, "customer_key", people)).as_py())


def _clear_scores(settings: Settings, day: date, bucket: int, people: People) -> list[str]:
    with ledger.transaction(settings, "score", day, bucket) as connection:
        scores = score_files.read(settings.home, day, bucket)
        is_erased = _are(scores, "customer_key", people)
        erased: list[str] = scores["customer_key"].filter(is_erased).to_pylist()
        path = score_files.file_of(settings.home, day, bucket)
        before = hashlib.sha256(path.read_bytes()).hexdigest()
        remaining = scores.filter(pc.invert(is_erased))
        after = score_files.write(settings.home, day, bucket, remaining)
        changes = dict.fromkeys(("population", "scored"), -len(set(erased)))
        restate(connection, ("score",), day, changes, bucket, (before, after))
    return erased


def clear_training(settings: Settings, people: People) -> Removed:
    """Rewrite the files of training runs that hold the customers.

    A run that is not registered yet can no longer be registered and has to be trained again.
    """
    removed: Removed = Counter()
    for path in sorted(settings.home.glob("training/**/*.parquet")):
        removed += _clear_file(path, "training", people)
    return removed


def clear_exports(settings: Settings, people: People) -> Removed:
    """Rewrite the exported lists that hold the customers, at the paths in the ledger."""
    removed: Removed = Counter()
    with postgres.changing(settings.pipeline_url, "export") as connection:
        recorded = set(connection.scalars(sa.select(exports.c.path)))
        files = [p for p in settings.home.glob("exports/**/*") if p.is_file()]
        for path in sorted({*files, *(Path(name) for name in recorded)}):
            counts = _clear_file(path, "exports", people)
            if counts:
                removed += counts
                connection.execute(
                    sa.update(exports)
                    .where(exports.c.path == str(path))
                    .values(customer_count=exports.c.customer_count - counts.total())
                )
    return removed


def _clear_file(path: Path, place: str, people: People) -> Removed:
    if not path.is_file():
        return Counter()  # deleted since, by retention or by a person
    counts = _clear_csv(path, people) if path.suffix == ".csv" else _clear_parquet(path, people)
    return Counter({(place, key): n for key, n in counts.items()})


def _clear_parquet(path: Path, people: People) -> Counter[str]:
    try:
        rows = pq.read_table(path)
    except (OSError, pa.ArrowInvalid):
        raise BadInput(
            f"{path} cannot be read as a Parquet file, and may hold the customer. Mend or delete "
            "it, and erase again."
        ) from None
    keys = {customer_id: key for key, customer_id in people.items()} | {key: key for key in people}
    column = next((n for n in ("customer_key", "customer_id") if n in rows.column_names), None)
    if column is None:
        return Counter()
    is_erased = _are(rows, column, keys)
    erased = rows[column].filter(is_erased).to_pylist()
    if erased:
        atomic_files.replace(path, atomic_files.parquet(rows.filter(pc.invert(is_erased))))
    return Counter(keys[name] for name in erased)


def _clear_csv(path: Path, people: People) -> Counter[str]:
    keys = {customer_id: key for key, customer_id in people.items()}
    # An export may have put an apostrophe before an id.
    written = exporting.without_formulas(pa.table({"customer_id": list(keys)}))
    keys |= dict(zip(written["customer_id"].to_pylist(), keys.values(), strict=True))
    counts: Counter[str] = Counter()
    with path.open(newline="", encoding="utf-8") as file:
        remaining = io.StringIO(newline="")
        writer = csv.writer(remaining)
        writer.writerows(_others(csv.reader(file), keys, counts))
    if counts:
        atomic_files.replace(path, remaining.getvalue().encode())
    return counts


def _others(
    rows: Iterator[list[str]], keys: Mapping[str, str], counts: Counter[str]
) -> Iterator[list[str]]:
    header = next(rows, [])
    yield header
    column = header.index("customer_id") if "customer_id" in header else None
    for row in rows:
        if column is not None and row and row[column] in keys:
            counts[keys[row[column]]] += 1
        else:
            yield row


def _are(rows: pa.Table, column: str, people: Mapping[str, str]) -> pa.ChunkedArray:
    return pc.is_in(rows[column].cast(pa.string()), value_set=pa.array(list(people), pa.string()))
