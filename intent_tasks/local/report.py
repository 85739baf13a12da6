"""The report at the end of the demo."""

import os
import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from intent_tasks.definition import LEAST_BUYERS
from intent_tasks.local.configuration import USER
from intent_tasks.local.installation import Installation
from intent_tasks.local.plan import Plan
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres

METRICS = (
    "auc",
    "average_precision",
    "log_loss",
    "calibration_error",
    "precision",
    "recall",
    "f1",
    "accuracy",
)

FEEDBACK = """
SELECT DISTINCT ON (horizon_days, metric)
       horizon_days, metric, value, low, high, baseline, customer_count, buyer_count
FROM intent.feedback_metrics
WHERE as_of_date = :day AND role = 'champion' AND slice = 'all'
ORDER BY horizon_days, metric, restatement DESC
"""

PREDICTIONS = """
SELECT customer_id, probability_1d, probability_7d, band, reason
FROM intent.latest_predictions
ORDER BY probability_7d DESC, customer_id
LIMIT 10
"""

SKIPPED = """
SELECT coalesce(sum((receipt->>'population')::int), 0) AS population,
       coalesce(sum((receipt->>'skipped_without_consent')::int), 0) AS skipped
FROM intent.runs
WHERE step = 'score' AND as_of_date = :day
"""


def print_report(
    console: Console, installation: Installation, settings: Settings, plan: Plan
) -> None:
    """Print feedback metrics, ten predictions, addresses, log-ins and next commands."""
    console.print()
    metrics = _rows(settings, FEEDBACK, day=plan.first_day)
    console.print(_feedback_table(metrics, plan))
    if few := few_buyers(metrics):
        console.print(few)
    console.print(_predictions_table(settings, plan))
    if skipped := _skipped_customers(settings, plan):
        console.print(skipped)
    for line in _addresses(installation):
        console.print(line, highlight=False, soft_wrap=True)


def _rows(settings: Settings, query: str, **values: object) -> list[Any]:
    with postgres.reading(settings.analyst_url) as connection:
        return list(connection.execute(sa.text(query), values))


def few_buyers(rows: list[Any]) -> str | None:
    """Return a warning when metrics rest on few buyers or few other customers, else None.

    Args:
        rows: horizon_days, customer_count and buyer_count of metrics.
    """
    counts = {r.horizon_days: (r.buyer_count, r.customer_count - r.buyer_count) for r in rows}
    few = {h: both for h, both in sorted(counts.items()) if min(both) < LEAST_BUYERS}
    if not few:
        return None
    parts = (
        f"{buyers} buyers and {others} others within {h} day{'s' if h > 1 else ''}"
        for h, (buyers, others) in few.items()
    )
    return (
        f"Few cases: {'; '.join(parts)}. Below {LEAST_BUYERS} of each, the metrics are unreliable; "
        "look at the intervals, and at more days."
    )


def _feedback_table(rows: list[Any], plan: Plan) -> Table:
    horizons = sorted({row.horizon_days for row in rows})
    row_of = {(row.horizon_days, row.metric): row for row in rows}
    counts = {row.horizon_days: (row.customer_count, row.buyer_count) for row in rows}
    table = Table(
        title=f"Feedback on the predictions of {plan.first_day}",
        caption="value, 95 % interval; in brackets: the base rate as prediction for all",
    )
    table.add_column("within", no_wrap=True)
    for horizon in horizons:
        table.add_column(f"{horizon} days" if horizon > 1 else "1 day", justify="right")
    table.add_row("customers", *(f"{counts[horizon][0]}" for horizon in horizons))
    table.add_row("buyers", *(f"{counts[horizon][1]}" for horizon in horizons))
    for metric in METRICS:
        cells = [_metric(row_of.get((horizon, metric))) for horizon in horizons]
        table.add_row(metric.replace("_", " "), *cells)
    return table


def _metric(row: Any) -> str:  # noqa: ANN401 - a row of a query
    if row is None or row.value is None:
        return "-"
    interval = "" if row.low is None else f" {row.low:.2f}–{row.high:.2f}"
    baseline = "" if row.baseline is None else f" ({row.baseline:.2f})"
    return f"{row.value:.3f}[dim]{interval}{baseline}[/dim]"


def _predictions_table(settings: Settings, plan: Plan) -> Table:
    table = Table(
        title=f"Highest predictions as of {plan.today}: ten rows of intent.latest_predictions"
    )
    for name in ("customer", "1 day", "7 days", "band", "reason"):
        table.add_column(name)
    for row in _rows(settings, PREDICTIONS):
        table.add_row(
            row.customer_id,
            f"{row.probability_1d:.3f}",
            f"{row.probability_7d:.3f}",
            row.band,
            row.reason or "-",
        )
    return table


def _skipped_customers(settings: Settings, plan: Plan) -> str | None:
    (row,) = _rows(settings, SKIPPED, day=plan.today)
    if not row.skipped:
        return None
    return (
        f"Of {row.population} active customers {row.skipped} were not predicted: they did not "
        "agree to personalisation."
    )


def _addresses(installation: Installation) -> list[str]:
    intent = os.path.relpath(str(Path(sys.prefix) / "bin" / "intent"))
    password = installation.secrets
    return [
        "",
        f"Airflow  {installation.address('airflow')}   {USER} / {password.airflow}",
        f"MLflow   {installation.address('mlflow')}   {USER} / {password.mlflow}",
        f"SQL      {psql(installation)}",
        "",
        "Try next:",
        f"  {intent} sql 'table intent.model_scorecard'",
        f"  {intent} status",
        "  MLflow → Models → purchase_intent: the evidence of the version, and the alias champion",
        "  Airflow → intent_daily → Trigger, with a day; or Backfill",
        "  make stop stops the servers, make demo starts them again, make clean removes everything",
    ]


def psql(installation: Installation) -> str:
    """Return the shell line that opens psql as the analyst."""
    password = installation.secrets.roles["intent_analyst"]
    program = installation.postgres.binaries() / "psql"
    return (
        f"PGPASSWORD={password} '{program}' -h 127.0.0.1 -p {installation.ports['postgres']} "
        "-U intent_analyst shop"
    )
