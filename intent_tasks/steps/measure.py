"""Compute the feedback metrics of all days whose outcomes are known.

Each metric is computed per day, role, horizon and slice of customers, with an interval, and also
for the baseline, which predicts the base rate for all customers. If late purchases change a metric,
it gets a new row with the next restatement; the old row stays.
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.core.metrics import (
    METRICS,
    Estimate,
    constant_metrics,
    metrics,
    resample_weights,
)
from intent_tasks.core.small_groups import shown_values
from intent_tasks.definition import LEAST_GROUP
from intent_tasks.errors import NothingToDo
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, postgres
from intent_tasks.tables import feedback_metrics, outcomes, predictions

log = logging.getLogger(__name__)

SLICED_BY = ("band", "fallback_level", "channel")
"""Columns of the predictions whose values make slices."""

METRICS_VERSION = 1
"""Increase it when the computation of a metric changes; all days are then measured anew.

A new metric or slice needs no new version.
"""


class _Group(NamedTuple):
    """The predictions of one day, role and horizon, with their outcomes."""

    role: str
    horizon_days: int
    rows: pa.Table


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Measure the days whose outcomes, or the metrics themselves, changed since they were measured.

    Raises:
        NothingToDo: no outcomes are known yet.
    """
    with postgres.reading(settings.pipeline_url) as connection:
        matured = ledger.read_receipts(connection, ledger.OUTCOMES, last=as_of_date)
        measured = ledger.read_receipts(connection, ledger.METRICS, last=as_of_date)
    if not matured:
        raise NothingToDo(
            f"No outcomes are known for {as_of_date}. Run `intent step mature` for it first."
        )
    changed = [
        day
        for day, receipt in sorted(matured.items())
        if measured.get(day, {}).get("inputs") != _inputs(receipt)
    ]
    log.info("measuring %d of %d days with outcomes", len(changed), len(matured))
    written = [_measure_day(settings, day, matured[day]) for day in changed]
    receipt = {
        "as_of_date": str(as_of_date),
        "days": len(matured),
        "days_changed": sum(rows > 0 for rows, _ in written),
        "rows": sum(rows for rows, _ in written),
        "restated": sum(restated for _, restated in written),
    }
    return ledger.finish_step(settings, "measure", as_of_date, receipt)


def _measure_day(settings: Settings, day: date, matured: Receipt) -> tuple[int, int]:
    """Write the changed metrics of one day; return the number of rows, and of restated ones."""
    with ledger.transaction(settings, ledger.METRICS, day) as connection:
        inputs = _inputs(matured)
        recorded = ledger.read_receipt(connection, ledger.METRICS, day)
        if recorded and recorded["inputs"] == inputs:
            return 0, 0
        pin = ledger.read_receipt(connection, "pin", day) or {}
        measured = [
            row
            for group in _groups(settings, day, matured["horizons"])
            for row in _rows(day, group, pin, settings.seed)
        ]
        changed = _changed(measured, _newest(connection, day))
        if changed:
            connection.execute(sa.insert(feedback_metrics), changed)
        restated = sum(row["restatement"] > 0 for row in changed)
        receipt = {"inputs": inputs, "rows": len(changed), "restated": restated}
        ledger.record(connection, ledger.METRICS, day, receipt)
    return len(changed), restated


def _inputs(matured: Receipt) -> str:
    """Return a digest of the outcomes of a day, the metrics, their version and the slices."""
    parts = [matured["inputs"], *METRICS, str(METRICS_VERSION), *SLICED_BY]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _groups(settings: Settings, day: date, horizons: list[int]) -> Iterator[_Group]:
    for horizon_days in horizons:
        with postgres.arrow(settings.pipeline_url, _joined(day, horizon_days)) as reader:
            rows = reader.read_all()
        for role in sorted(set(rows["role"].to_pylist())):
            yield _Group(role, horizon_days, rows.filter(pc.equal(rows["role"], role)))


def _joined(day: date, horizon_days: int) -> sa.Select[Any]:
    """Select predictions with their outcomes, in an order that fixes the resampling."""
    same = sa.and_(
        outcomes.c.as_of_date == predictions.c.as_of_date,
        outcomes.c.customer_id == predictions.c.customer_id,
    )
    return (
        sa.select(
            predictions.c.role,
            predictions.c[f"probability_{horizon_days}d"].label("probability"),
            *(predictions.c[name] for name in SLICED_BY),
            predictions.c.model_version,
            outcomes.c.purchased,
            outcomes.c.known_until,
        )
        .join_from(predictions, outcomes, same)
        .where(predictions.c.as_of_date == day, outcomes.c.horizon_days == horizon_days)
        .order_by(predictions.c.customer_id)
    )


def _rows(day: date, group: _Group, pin: Receipt, seed: int) -> Iterator[dict[str, Any]]:
    """Yield a row of `intent.feedback_metrics` for each slice and metric of a group."""
    probabilities = group.rows["probability"].to_numpy()
    purchased = group.rows["purchased"].to_numpy()
    weights = resample_weights(len(purchased), seed)
    horizon = str(group.horizon_days)
    base_rate = pin.get("base_rates", {}).get(horizon, float(purchased.mean()))
    threshold = pin.get("thresholds", {}).get(horizon, base_rate)
    shared = {
        "as_of_date": day,
        "role": group.role,
        "horizon_days": group.horizon_days,
        "model_version": group.rows["model_version"][0].as_py(),
        "known_until": pc.max(group.rows["known_until"]).as_py(),
    }
    for name, mask in _slices(group.rows):
        p, y = probabilities[mask], purchased[mask]
        measured = metrics(p, y, threshold, weights[:, mask])
        baseline = constant_metrics(base_rate, y, threshold)
        counts = {"customer_count": len(y), "buyer_count": int(y.sum())}
        for metric, estimate in measured.items():
            values = _values(estimate) | {"baseline": _number(baseline[metric])}
            yield {**shared, "slice": name, "metric": metric, **values, **counts}


def _slices(rows: pa.Table) -> Iterator[tuple[str, npt.NDArray[np.bool_]]]:
    """Yield the name of each slice that may be shown, and the mask of its rows, shape (n,)."""
    if rows.num_rows >= LEAST_GROUP:
        yield "all", np.ones(rows.num_rows, bool)
    for column in SLICED_BY:
        values = np.asarray(rows[column].to_pylist(), object)
        sizes = Counter(value for value in values if value is not None)
        if column == "fallback_level" and len(sizes) == 1:
            continue  # the slice would repeat `all`
        for value in shown_values(sizes, rows.num_rows):
            yield f"{column}={value}", values == value


def _values(estimate: Estimate) -> dict[str, float | None]:
    return {name: _number(value) for name, value in estimate._asdict().items()}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


_KEY = ("role", "horizon_days", "slice", "metric")
_MEASURED = ("value", "customer_count", "buyer_count", "model_version")


def _newest(connection: sa.Connection, day: date) -> dict[tuple[Any, ...], sa.RowMapping]:
    """Return the row of the highest restatement of each metric of a day."""
    query = (
        sa.select(feedback_metrics)
        .where(feedback_metrics.c.as_of_date == day)
        .order_by(feedback_metrics.c.restatement)
    )
    rows = connection.execute(query).mappings()
    return {tuple(row[name] for name in _KEY): row for row in rows}


def _changed(
    measured: list[dict[str, Any]], newest: dict[tuple[Any, ...], sa.RowMapping]
) -> list[dict[str, Any]]:
    """Return the measured rows that are new or differ, each with its restatement."""
    changed = []
    for row in measured:
        before = newest.get(tuple(row[name] for name in _KEY))
        if before is None:
            changed.append(row | {"restatement": 0})
        elif any(before[name] != row[name] for name in _MEASURED):
            changed.append(row | {"restatement": before["restatement"] + 1})
    return changed
