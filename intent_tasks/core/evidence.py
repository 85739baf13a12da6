"""The evidence page of a training run: the gate's checks, and the metrics of every model."""

import html
from collections.abc import Iterator

import numpy as np

from intent_tasks.core.gate import Check
from intent_tasks.core.metrics import METRICS, Estimate
from intent_tasks.definition import HORIZONS_DAYS

Table = dict[str, dict[str, Estimate]]
"""Name such as `network_7d` → metric → estimate."""

NAMES = {
    "served": "this version",
    "network": "the network alone",
    "lightgbm": "LightGBM",
    "logistic": "logistic regression on all features",
    "recency_frequency": "logistic regression on recency and frequency",
    "base_rate": "base rate",
}

_STYLE = "body{font:15px sans-serif;margin:2em}td,th{padding:3px 9px;text-align:right}"


def page(title: str, table: Table, checks: list[Check], row_count: int) -> str:
    """Return the page as HTML."""
    return "\n".join(_lines(title, table, checks, row_count))


def _lines(title: str, table: Table, checks: list[Check], row_count: int) -> Iterator[str]:
    yield f"<!doctype html><meta charset=utf-8><title>{title}</title><style>{_STYLE}</style>"
    yield f"<h1>{title}</h1>"
    yield f"<p>{row_count} predictions on days after training, with a gap in between.</p>"
    yield "<h2>Gate</h2><ul>"
    for check in checks:
        verdict = "passed" if check.passed else "<b>FAILED</b>"
        yield f"<li>{html.escape(check.name)}: {verdict}; {html.escape(check.detail)}</li>"
    yield "</ul>"
    for horizon_days in HORIZONS_DAYS:
        yield from _table(table, horizon_days)


def _table(table: Table, horizon_days: int) -> Iterator[str]:
    yield f"<h2>{horizon_days} days</h2><table><tr><th></th>"
    yield "".join(f"<th>{metric.replace('_', ' ')}</th>" for metric in METRICS) + "</tr>"
    for kind, name in NAMES.items():
        row = table.get(f"{kind}_{horizon_days}d")
        if row:
            cells = "".join(f"<td>{_cell(row[metric])}</td>" for metric in METRICS)
            yield f"<tr><th>{name}</th>{cells}</tr>"
    yield "</table>"


def _cell(estimate: Estimate) -> str:
    if not np.isfinite(estimate.value):
        return "-"
    if estimate.low == estimate.high:
        return f"{estimate.value:.4f}"
    return f"{estimate.value:.4f}<br><small>{estimate.low:.3f}…{estimate.high:.3f}</small>"
