"""Write a day's scores to `intent.predictions` in one transaction."""

import hashlib
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import identity_keys, ledger, postgres, score_files
from intent_tasks.stores.contracts import checks
from intent_tasks.stores.extracting import conservation
from intent_tasks.stores.privacy import consent, consent_record
from intent_tasks.tables import customer_keys, erasures, predictions, promotions

_scores = postgres.temporary_table("new_scores", score_files.SCHEMA)


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Publish the scores of all buckets of a day; the same scores are published only once.

    Raises:
        BadInput: the day is not pinned, or a bucket is not scored with the pinned version.
        Refused: a row or a customer of the day is not accounted for, consent cannot be read, or the
            predictions break the contract; the earlier published ones stay.
    """
    identity_keys.check_key(settings)
    pin, scores = _finished(settings, as_of_date)
    with ledger.transaction(settings, "publish", as_of_date) as connection:
        withdrawn = _withdrawn(settings, as_of_date, scores)
        digest = _digest(pin, scores, [*_erased_keys(connection), *withdrawn])
        published = ledger.read_receipt(connection, "publish", as_of_date)
        if published and published["digest"] == digest:
            return published
        counts = _replace(connection, settings, as_of_date, pin, scores, withdrawn)
        checked = checks.check_predictions(settings, connection, as_of_date, pin, counts["scored"])
        _note_promotion(connection, as_of_date, pin)
        receipt = {
            "as_of_date": str(as_of_date),
            "model_version": pin["model_version"],
            "digest": digest,
            "data_docs": checked.page,
            **counts,
        }
        ledger.record(connection, "publish", as_of_date, receipt)
        conservation.check(connection, as_of_date)
    return receipt


def _finished(settings: Settings, as_of_date: date) -> tuple[Receipt, dict[int, Receipt]]:
    """Return the pin of the day and the receipt of each bucket's scores."""
    with postgres.reading(settings.pipeline_url) as connection:
        pin = ledger.read_receipt(connection, "pin", as_of_date)
        if pin is None:
            raise BadInput(
                f"No model version is pinned for {as_of_date}. "
                f"Run `intent step pin --as-of-date {as_of_date}` first."
            )
        receipts = {
            bucket: ledger.read_receipt(connection, "score", as_of_date, bucket)
            for bucket in pin["buckets"]
        }
    scores = {
        bucket: receipt
        for bucket, receipt in receipts.items()
        if receipt and receipt["model_version"] == pin["model_version"]
    }
    missing = [str(bucket) for bucket in receipts if bucket not in scores]
    if missing:
        raise BadInput(
            f"Bucket {', '.join(missing)} of {as_of_date} is not scored with version "
            f"{pin['model_version']}. Run `intent step score --as-of-date {as_of_date} --bucket N`."
        )
    return pin, scores


def _withdrawn(settings: Settings, as_of_date: date, scores: dict[int, Receipt]) -> list[str]:
    """Return the keys of scored customers who have withdrawn their consent since, sorted.

    Raises:
        Refused: too many scored customers no longer have a row in `shop.customers`.
    """
    consents = consent.keys(settings)
    scored: set[str] = set()
    with_row: set[str] = set()
    withdrawn: set[str] = set()
    for bucket, receipt in scores.items():
        rows = score_files.read(settings.home, as_of_date, bucket, receipt["digest"])
        keys = rows["customer_key"]
        scored.update(keys.to_pylist())
        with_row.update(keys.filter(consents.have_row(keys)).to_pylist())
        withdrawn.update(keys.filter(consents.are_refused(keys)).to_pylist())
    consent_record.require_rows(len(scored), len(with_row), f"scored for {as_of_date}")
    return sorted(withdrawn)


def _are_in(scores: pa.Table, keys: pa.Array) -> pa.ChunkedArray:
    return pc.is_in(scores["customer_key"], value_set=keys)


def _erased_keys(connection: sa.Connection) -> list[str]:
    """Return the keys of all tombstones, sorted; scores hold only keys of the present version."""
    tombstones = identity_keys.tombstones(connection)
    return sorted(key for keys in tombstones.values() for key in keys.to_pylist())


def _digest(pin: Receipt, scores: dict[int, Receipt], excluded: list[str]) -> str:
    """Return a digest of the inputs of a day's rows."""
    parts = [f"{pin['model_version']}/{pin['run_id']}", *excluded]
    parts += [f"{bucket}:{scores[bucket]['digest']}" for bucket in sorted(scores)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _replace(
    connection: sa.Connection,
    settings: Settings,
    as_of_date: date,
    pin: Receipt,
    scores: dict[int, Receipt],
    withdrawn: list[str],
) -> dict[str, int]:
    """Replace the day's rows; return the numbers of scored, excluded and written customers."""
    _scores.create(connection)
    scored = allowed_count = 0
    refused = pa.array(withdrawn, pa.string())
    for bucket, receipt in scores.items():
        rows = score_files.read(settings.home, as_of_date, bucket, receipt["digest"])
        score_files.require_probabilities(rows, f"predictions of {as_of_date}")
        scored += rows.num_rows
        allowed = rows.filter(pc.invert(_are_in(rows, refused)))
        allowed_count += postgres.copy_in(connection, _scores, allowed)
    postgres.ensure_partition(connection, as_of_date)
    connection.execute(sa.delete(predictions).where(predictions.c.as_of_date == as_of_date))
    written = connection.execute(_insert(as_of_date, pin)).rowcount
    erased = _count_erased(connection)
    if allowed_count != written + erased:
        raise BadInput(
            f"{allowed_count} customers were scored for {as_of_date}, but {written} can be written "
            f"and {erased} were erased: the others have no row in intent.customer_keys. "
            f"Was INTENT_IDENTITY_KEY changed? Extract and score the day again."
        )
    return {
        "scored": scored,
        "rows": written,
        "erased": erased,
        "withdrawn": scored - allowed_count,
    }


def _insert(as_of_date: date, pin: Receipt) -> sa.Insert:
    selected = {
        "as_of_date": sa.literal(as_of_date, sa.Date),
        "customer_id": customer_keys.c.customer_id,
        **{column.name: column for column in _scores.c if column.name != "customer_key"},
        "reasons": sa.cast(_scores.c.reasons, predictions.c.reasons.type),
        "model_version": sa.literal(pin["model_version"]),
        "run_id": sa.literal(pin["run_id"]),
        "scored_at": sa.literal(datetime.now(UTC), predictions.c.scored_at.type),
    }
    query = (
        sa.select(*(column.label(name) for name, column in selected.items()))
        .join_from(_scores, customer_keys, customer_keys.c.customer_key == _scores.c.customer_key)
        .where(_scores.c.customer_key.not_in(sa.select(erasures.c.customer_key)))
        # The order is fixed, so that the same scores give the same table.
        .order_by(customer_keys.c.customer_id, _scores.c.role)
    )
    return sa.insert(predictions).from_select(list(selected), query)


def _count_erased(connection: sa.Connection) -> int:
    query = sa.select(sa.func.count()).select_from(
        sa.join(_scores, erasures, erasures.c.customer_key == _scores.c.customer_key)
    )
    return int(connection.execute(query).scalar_one())


def _note_promotion(connection: sa.Connection, as_of_date: date, pin: Receipt) -> None:
    """Record a promotion if another version serves than on the last published day."""
    latest = sa.select(promotions.c.model_version).order_by(promotions.c.promotion_id.desc())
    previous = connection.execute(latest.limit(1)).scalar()
    if previous == pin["model_version"]:
        return
    connection.execute(
        sa.insert(promotions).values(
            model_version=pin["model_version"],
            from_version=previous,
            approved_by=pin.get("approved_by"),
            reason=pin.get("promotion_reason"),
            evidence=pin.get("run_url"),
            seen_for_date=as_of_date,
            seen_at=datetime.now(UTC),
        )
    )
