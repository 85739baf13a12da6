"""A day that is run again from nothing gives the same rows and the same files."""

import hashlib
from datetime import timedelta

import pytest
import sqlalchemy as sa

from intent_tasks.steps import extract, publish
from intent_tasks.stores import postgres
from tests.database.conftest import DAY, pin, score

pytestmark = [pytest.mark.database, pytest.mark.timeout(3600)]

RUNS = 3
ROWS = sa.text(
    "SELECT to_jsonb(p) - 'scored_at' FROM intent.predictions p "
    "ORDER BY as_of_date, customer_id, role"
)


def _probability(customer):
    return int(hashlib.sha256(customer.encode()).hexdigest()[:4], 16) / 2**17


def _run(settings, days, probability=_probability):
    """Run the days and return their rows, and the digests of the snapshots."""
    for day in days:
        extract.run(settings, day)
        pin(settings, day)
        score(settings, day, probability)
        publish.run(settings, day)
    with postgres.reading(settings.pipeline_url) as connection:
        rows = [str(row) for row in connection.scalars(ROWS)]
        digests = sa.text("SELECT receipt->>'digest' FROM intent.runs WHERE step = 'snapshot'")
        return rows, sorted(map(str, connection.scalars(digests)))


def _delete_results(settings):
    """Delete the results of all runs, so that the next run computes them again."""
    with postgres.changing(settings.pipeline_url, "test") as connection:
        for table in ("predictions", "runs"):
            connection.execute(sa.text(f"DELETE FROM intent.{table}"))
    for path in (settings.home / "snapshots").rglob("*.*"):
        if path.is_file():
            path.unlink()


def test_days_run_three_times_from_nothing_differ_in_no_row(small_shop, trials, record_property):
    days = [DAY + timedelta(days=n) for n in range(min(20, max(2, trials // 3)))]
    first = _run(small_shop, days)
    assert len(first[0]) == 24 * len(days)
    for _ in range(RUNS - 1):
        _delete_results(small_shop)
        assert _run(small_shop, days) == first
    record_property("rows", RUNS * len(first[0]))
    _delete_results(small_shop)
    other, _ = _run(small_shop, days, lambda customer: 0.9 * _probability(customer))
    assert sum(a != b for a, b in zip(first[0], other, strict=True)) == len(other), "the control"
