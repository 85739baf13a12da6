"""Score files: one Parquet file a day and bucket, which `score` writes and `publish` reads."""

import hashlib
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import BadInput, Refused
from intent_tasks.stores.atomic_files import parquet, private_folder, replace

SCHEMA = pa.schema(
    [
        pa.field("customer_key", pa.string(), nullable=False),
        pa.field("role", pa.string(), nullable=False),
        *(pa.field(f"probability_{h}d", pa.float64(), nullable=False) for h in HORIZONS_DAYS),
        pa.field("band", pa.string(), nullable=False),
        pa.field("stage", pa.string()),
        pa.field("reasons", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("fallback_level", pa.string(), nullable=False),
        pa.field("channel", pa.string()),
    ]
)
"""Columns of a score file; `reasons` is a JSON list."""


def write(home: Path, as_of_date: date, bucket: int, scores: pa.Table) -> str:
    """Write the scores of one bucket and day (columns of `SCHEMA`) and return their digest."""
    path = file_of(home, as_of_date, bucket)
    private_folder(path.parent)
    order = [("customer_key", "ascending"), ("role", "ascending")]
    content = parquet(scores.select(SCHEMA.names).cast(SCHEMA).sort_by(order))
    replace(path, content)
    return hashlib.sha256(content).hexdigest()


def read(home: Path, as_of_date: date, bucket: int, expected_digest: str | None = None) -> pa.Table:
    """Return the scores of one bucket and day, columns of `SCHEMA`.

    Raises:
        BadInput: there are none, or their digest is not the expected one.
    """
    path = file_of(home, as_of_date, bucket)
    advice = f"Run `intent step score --as-of-date {as_of_date} --bucket {bucket}`."
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(
            f"There are no scores of bucket {bucket} for {as_of_date}. {advice}"
        ) from None
    if expected_digest not in (None, hashlib.sha256(content).hexdigest()):
        raise BadInput(f"The scores in {path} are not those in the ledger. {advice}")
    return pq.read_table(pa.BufferReader(content), schema=SCHEMA)


def require_probabilities(scores: pa.Table, description: str) -> None:
    """Require that every probability of some scores is a number from 0 to 1.

    Args:
        scores: columns of `SCHEMA`.
        description: names the scores in the message.

    Raises:
        Refused: some are not; the message gives only their number, because rows are personal data.
    """
    names = [f"probability_{h}d" for h in HORIZONS_DAYS]
    values = np.column_stack([scores[name].to_numpy() for name in names])
    if broken := int((~((values >= 0) & (values <= 1))).any(axis=1).sum()):  # NaN is neither
        raise Refused(
            f"The {description} break the contract: in {broken} of {len(values)} rows a "
            "probability is no number from 0 to 1; allowed: none. Nothing is published from them, "
            "and the predictions that are there stay. Give the alias champion to another version, "
            "then run `pin` and `score` of this day again."
        )


def list_written(home: Path) -> list[tuple[date, int]]:
    """Return day and bucket of every file of scores."""
    names = [(path.parent.name, path.stem) for path in home.glob("scores/day=*/bucket=*.parquet")]
    return sorted((date.fromisoformat(day[4:]), int(bucket[7:])) for day, bucket in names)


def file_of(home: Path, as_of_date: date, bucket: int) -> Path:
    """Return the path of the scores of one bucket and day."""
    return home / "scores" / f"day={as_of_date}" / f"bucket={bucket:03d}.parquet"
