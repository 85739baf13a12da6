"""The demo promotes a version that passed the gate, and no other."""

from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace

import pytest

from intent_tasks.core.anchors import training_split
from intent_tasks.errors import Refused
from intent_tasks.local import demo, report
from intent_tasks.local.plan import Plan
from intent_tasks.local.shop import choose_shop

PLAN = Plan(date(2026, 6, 30))
SIMULATED = choose_shop(None, None, "UTC")


@pytest.fixture
def promoted(monkeypatch):
    """Promoted versions; `receipts` are those of the ledger."""
    given = SimpleNamespace(versions=[], receipts={})
    monkeypatch.setattr(demo.registry, "champion", lambda settings: None)
    monkeypatch.setattr(demo.registry, "promote", lambda settings, n: given.versions.append(n))
    monkeypatch.setattr(demo.ledger, "receipt_of", lambda _, step, day: given.receipts.get(step))
    return given


def registered(gate):
    return {"model_version": 3, "gate": gate, "run_url": "http://mlflow/runs/9"}


def test_a_version_that_passed_the_gate_is_promoted(promoted):
    promoted.receipts = {"register": registered("passed")}
    assert demo._promote(None, PLAN, SIMULATED) == 3
    assert promoted.versions == [3]


def test_a_version_that_failed_the_gate_ends_the_demo_with_the_reason(promoted):
    failed = ["not worse than LightGBM", "calibrated"]
    promoted.receipts = {"register": registered("failed"), "evaluate": {"failed_checks": failed}}
    with pytest.raises(
        Refused, match=r"failed: not worse than LightGBM; calibrated.*http://mlflow/runs/9"
    ):
        demo._promote(None, PLAN, SIMULATED)
    assert not promoted.versions


@pytest.mark.parametrize(
    ("training_days", "advice"),
    [
        (
            60,
            "It was trained on 60 of 329 days: set INTENT_TRAINING_DAYS=329, "
            "and run the demo again",
        ),
        (329, "Load more history, or another shop, and run the demo again"),
    ],
)
def test_unused_days_are_advised_before_more_history(promoted, training_days, advice):
    promoted.receipts = {"register": registered("failed")}
    settings = SimpleNamespace(training_days=training_days, maturity_lag_days=1)
    first = PLAN.trained_on - timedelta(days=14 + 329 + 14)
    recorded = replace(SIMULATED, first_day=first)
    with pytest.raises(Refused, match=advice):
        demo._promote(settings, PLAN, recorded)
    split = training_split(first, PLAN.trained_on, training_days=999, maturity_lag_days=1)
    assert (split.test[-1] - split.train[0]).days + 1 == 329


@pytest.mark.parametrize(
    ("skipped", "line"), [(0, None), (3, "Of 502 active customers 3 were not")]
)
def test_customers_without_consent_are_counted(monkeypatch, skipped, line):
    rows = [SimpleNamespace(population=502, skipped=skipped)]
    monkeypatch.setattr(report, "_rows", lambda *_, **__: rows)
    printed = report._skipped_customers(None, PLAN)
    assert printed is line or printed.startswith(line)


def test_a_demo_that_registered_nothing_is_refused(promoted):
    with pytest.raises(Refused, match="registered no version"):
        demo._promote(None, PLAN, SIMULATED)


def metrics(*counts):
    return [
        SimpleNamespace(horizon_days=h, customer_count=n, buyer_count=buyers)
        for h, n, buyers in counts
    ]


def test_metrics_that_rest_on_few_buyers_have_a_warning():
    warning = report.few_buyers(metrics((1, 504, 2), (1, 504, 2), (3, 504, 30), (7, 50, 41)))
    assert warning.startswith(
        "Few cases: 2 buyers and 502 others within 1 day; 41 buyers and 9 others within 7 days. "
        "Below 30 of each"
    )
    assert report.few_buyers(metrics((1, 60, 30), (14, 504, 400))) is None
