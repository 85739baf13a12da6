"""Write the outcomes that are known by the end of a day.

An outcome is a function of the events. Its `known_until` is the day on which it matured, or the
day on which its last purchase arrived, if that is later. So days may mature in any order, and a
late purchase changes only the outcomes that count it.
"""

import hashlib
import logging
from datetime import date, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.core import purchases
from intent_tasks.definition import HORIZONS_DAYS, RESTATED_DAYS, Definition
from intent_tasks.errors import NothingToDo
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, postgres, snapshots
from intent_tasks.tables import customer_keys, outcomes, predictions

log = logging.getLogger(__name__)

_PURCHASES = postgres.temporary_table("purchases", purchases.SCHEMA)


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Write the outcomes of all published days that are known by the end of `as_of_date`.

    Raises:
        NothingToDo: no published day has a horizon that has matured.
    """
    definition = settings.definition
    published = _published(settings, as_of_date)
    matured = {day: matured_horizons(definition, day, as_of_date) for day in published}
    matured = {day: horizons for day, horizons in matured.items() if horizons}
    if not matured:
        raise NothingToDo(
            f"No outcome is known by the end of {as_of_date}: the shortest horizon and "
            f"{definition.maturity_lag_days} days must have passed since a published day."
        )
    counted = _purchases(settings, min(matured), as_of_date)
    log.info(
        "writing outcomes of %d published days from %s purchases",
        len(matured),
        f"{pc.sum(counted['purchase_count']).as_py() or 0:,}",
    )
    rows = {
        day: _write_day(settings, as_of_date, day, horizons, published[day], counted)
        for day, horizons in sorted(matured.items())
    }
    receipt = {
        "as_of_date": str(as_of_date),
        "known_until": str(as_of_date),
        "days": len(matured),
        "days_changed": sum(count > 0 for count in rows.values()),
        "rows": sum(rows.values()),
        "horizons": sorted({h for horizons in matured.values() for h in horizons}),
    }
    return ledger.finish_step(settings, "mature", as_of_date, receipt)


def matured_horizons(definition: Definition, day: date, known_until: date) -> list[int]:
    """Return the horizons of an anchor whose outcome is known by the end of a day."""
    return [h for h in HORIZONS_DAYS if definition.matured_on(day, h) <= known_until]


def _published(settings: Settings, as_of_date: date) -> dict[date, str]:
    """Return the digest of each published day whose outcomes may still change."""
    earliest = as_of_date - timedelta(days=max(HORIZONS_DAYS) + RESTATED_DAYS)
    with postgres.reading(settings.pipeline_url) as connection:
        receipts = ledger.read_receipts(connection, "publish", earliest, as_of_date)
    return {day: receipt["digest"] for day, receipt in receipts.items()}


def _purchases(settings: Settings, first_anchor: date, as_of_date: date) -> pa.Table:
    """Return the purchases after an anchor that were known at the end of a day, counted by day."""
    first_day = first_anchor + timedelta(days=1)
    counted = [
        purchases.count_purchases(
            snapshots.read(settings.home, settings.definition, as_of_date, [bucket], first_day),
            settings.time_zone,
        )
        for bucket in range(settings.bucket_count)
    ]
    return pa.concat_tables(counted)


def _write_day(
    settings: Settings,
    known_until: date,
    day: date,
    horizons: list[int],
    published: str,
    counted: pa.Table,
) -> int:
    """Replace the outcomes of one published day if they change; return the number of rows."""
    last_day = pa.scalar(day + timedelta(days=max(horizons)))
    window = counted.filter(
        pc.and_(
            pc.greater(counted["occurred_on"], pa.scalar(day)),
            pc.less_equal(counted["occurred_on"], last_day),
        )
    )
    inputs = _digest(published, horizons, window)
    with ledger.transaction(settings, ledger.OUTCOMES, day) as connection:
        recorded = ledger.read_receipt(connection, ledger.OUTCOMES, day)
        if recorded and (
            recorded["inputs"] == inputs or recorded["known_until"] > str(known_until)
        ):
            return 0
        _PURCHASES.create(connection)
        postgres.copy_in(connection, _PURCHASES, window)
        connection.execute(sa.delete(outcomes).where(outcomes.c.as_of_date == day))
        rows = sum(
            connection.execute(_insert(day, h, settings.definition)).rowcount for h in horizons
        )
        receipt = {"inputs": inputs, "known_until": str(known_until), "horizons": horizons}
        ledger.record(connection, ledger.OUTCOMES, day, receipt | {"rows": rows})
    return rows


def _digest(published: str, horizons: list[int], window: pa.Table) -> str:
    digest = hashlib.sha256(f"{published}/{horizons}".encode())
    for column in window.columns:
        digest.update(str(column.to_pylist()).encode())
    return digest.hexdigest()


def _insert(day: date, horizon_days: int, definition: Definition) -> sa.Insert:
    """Insert the outcomes of one horizon for all customers with a prediction of a day."""
    predicted = (
        sa.select(predictions.c.customer_id)
        .where(predictions.c.as_of_date == day)
        .distinct()
        .subquery()
    )
    bought = (
        sa.select(
            customer_keys.c.customer_id,
            sa.func.sum(_PURCHASES.c.purchase_count).label("purchase_count"),
            sa.func.max(_PURCHASES.c.ingested_on).label("ingested_on"),
        )
        .join_from(
            _PURCHASES, customer_keys, customer_keys.c.customer_key == _PURCHASES.c.customer_key
        )
        .where(_PURCHASES.c.occurred_on <= day + timedelta(days=horizon_days))
        .group_by(customer_keys.c.customer_id)
        .subquery()
    )
    count = sa.func.coalesce(bought.c.purchase_count, 0)
    matured_on = sa.literal(definition.matured_on(day, horizon_days), sa.Date)
    selected = {
        "as_of_date": sa.literal(day, sa.Date),
        "customer_id": predicted.c.customer_id,
        "horizon_days": sa.literal(horizon_days),
        "purchased": count > 0,
        "purchase_count": count,
        "known_until": sa.func.greatest(matured_on, bought.c.ingested_on),
    }
    query = (
        sa.select(*(column.label(name) for name, column in selected.items()))
        .join_from(predicted, bought, bought.c.customer_id == predicted.c.customer_id, isouter=True)
        .order_by(predicted.c.customer_id)
    )
    return sa.insert(outcomes).from_select(list(selected), query)
