"""Measure the candidate, its network and the baselines on the test days, and judge the gate."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from intent_tasks.core import evidence, gate
from intent_tasks.core.evidence import NAMES, Table
from intent_tasks.core.metrics import Estimate, constant_metrics, metrics, resample_weights
from intent_tasks.definition import HORIZONS_DAYS, LEAST_GROUP, MAIN_HORIZON_DAYS
from intent_tasks.errors import BadInput, Refused
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger
from intent_tasks.stores.training_files import EVIDENCE, METRICS_FILE, MODEL, SLICE, TEST, folder_of

Weights = npt.NDArray[np.floating]
Customers = npt.NDArray[np.integer]


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Write metrics and evidence of a training run, and return the verdict of the gate.

    Raises:
        BadInput: no model was trained for that day.
        Refused: there are too few customers to show metrics without revealing single ones.
    """
    trained = ledger.receipt_of(settings, "train", as_of_date)
    folder = folder_of(settings, as_of_date)
    if trained is None or not (folder / TEST).exists():
        raise BadInput(f"Run `intent step train --as-of-date {as_of_date}` first.")
    test = pq.read_table(folder / TEST)
    config = json.loads((folder / MODEL / "config.json").read_text())
    customers = np.unique(test["customer_key"].to_numpy(), return_inverse=True)[1]
    if customers.max() + 1 < LEAST_GROUP:
        raise Refused(
            f"The test days have {customers.max() + 1} customers: metrics of fewer than "
            f"{LEAST_GROUP} would reveal single ones. Train later."
        )
    weights = resample_weights(int(customers.max()) + 1, settings.seed)
    table = dict(_metrics_by_model(test, config, weights, customers))
    checks = _judge(test, config, table, weights, customers)
    failed = [check.name for check in checks if not check.passed]
    _write(folder, table, checks, test, as_of_date)
    receipt = {
        "as_of_date": str(as_of_date),
        "gate": "failed" if failed else "passed",
        "failed_checks": failed,
        "trained": trained["digest"],
        "metrics": {
            name: {
                m: round(table[name][m].value, 5) for m in ("auc", "average_precision", "log_loss")
            }
            for name in (f"{kind}_{MAIN_HORIZON_DAYS}d" for kind in NAMES)
        },
    }
    return ledger.finish_step(settings, "evaluate", as_of_date, receipt)


def _metrics_by_model(
    test: pa.Table, config: dict[str, Any], weights: Weights, customers: Customers
) -> Iterator[tuple[str, dict[str, Estimate]]]:
    """Yield a name such as `network_7d`, and the metrics of that model at that horizon."""
    for h in HORIZONS_DAYS:
        outcomes = test[f"purchased_{h}d"].to_numpy()
        threshold, base_rate = (config[name][str(h)] for name in ("thresholds", "base_rates"))
        constant = constant_metrics(base_rate, outcomes, threshold)
        yield f"base_rate_{h}d", {m: Estimate(v, v, v) for m, v in constant.items()}
        for kind in ("served", "network", *gate.NAMES):
            if f"{kind}_{h}d" in test.column_names:
                predicted = test[f"{kind}_{h}d"].to_numpy()
                yield f"{kind}_{h}d", metrics(predicted, outcomes, threshold, weights, customers)


def _judge(
    test: pa.Table,
    config: dict[str, Any],
    table: Table,
    weights: Weights,
    customers: Customers,
) -> list[gate.Check]:
    h = MAIN_HORIZON_DAYS
    test_set = gate.TestSet(
        test[f"purchased_{h}d"].to_numpy(),
        {name: test[f"{name}_{h}d"].to_numpy() for name in gate.NAMES},
        config["base_rates"][str(h)],
        weights,
        customers,
        {
            name.removeprefix(SLICE): test[name].to_numpy()
            for name in test.column_names
            if name.startswith(SLICE)
        },
    )
    calibration_error = table[f"served_{h}d"]["calibration_error"].value
    return gate.judge(test[f"served_{h}d"].to_numpy(), test_set, calibration_error)


def _write(
    folder: Path, table: Table, checks: list[gate.Check], test: pa.Table, as_of_date: date
) -> None:
    values = {name: {m: e._asdict() for m, e in row.items()} for name, row in table.items()}
    (folder / METRICS_FILE).write_text(json.dumps(values, indent=1, sort_keys=True))
    page = evidence.page(f"Training as of {as_of_date}", table, checks, test.num_rows)
    (folder / EVIDENCE).write_text(page, encoding="utf-8")
