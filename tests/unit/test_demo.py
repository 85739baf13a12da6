"""The demo promotes a version for the person, but none that the gate refused."""

from datetime import date
from types import SimpleNamespace

import pytest

from intent_tasks.errors import Refused
from intent_tasks.local import demo
from intent_tasks.local.plan import Plan

PLAN = Plan(date(2026, 6, 30))


@pytest.fixture
def promoted(monkeypatch):
    """Versions that were given the alias; `receipts` is what the ledger says."""
    given = SimpleNamespace(versions=[], receipts={})
    monkeypatch.setattr(demo.registry, "champion", lambda settings: None)
    monkeypatch.setattr(demo.registry, "promote", lambda settings, n: given.versions.append(n))
    monkeypatch.setattr(demo.postgres, "receipt_of", lambda _, step, day: given.receipts.get(step))
    return given


def registered(gate):
    return {"model_version": 3, "gate": gate, "run_url": "http://mlflow/runs/9"}


def test_a_version_that_passed_the_gate_is_promoted(promoted):
    promoted.receipts = {"register": registered("passed")}
    assert demo._promote(None, PLAN) == 3
    assert promoted.versions == [3]


def test_a_version_that_failed_the_gate_ends_the_demo_with_the_reason(promoted):
    failed = ["not worse than LightGBM", "calibrated"]
    promoted.receipts = {"register": registered("failed"), "evaluate": {"failed_checks": failed}}
    with pytest.raises(
        Refused, match=r"failed: not worse than LightGBM; calibrated.*http://mlflow/runs/9"
    ):
        demo._promote(None, PLAN)
    assert not promoted.versions


def test_a_demo_that_registered_nothing_is_refused(promoted):
    with pytest.raises(Refused, match="registered no version"):
        demo._promote(None, PLAN)
