"""The whole loop on real servers: from a shop's events to predictions and feedback."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.local.supervisor import Supervisor, wait_until
from intent_tasks.local.up import is_ok
from intent_tasks.stores import ledger, postgres
from tests.end_to_end.conftest import LAST_DAY

# All of these wait for the demo, which has its own limit.
pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(1200)]

FIRST_DAY = LAST_DAY - timedelta(days=15)
DAYS = [FIRST_DAY, *(LAST_DAY - timedelta(days=n) for n in range(7, -1, -1))]


def intent(*arguments, timeout=600):
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "intent_tasks.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={**os.environ, "COLUMNS": "100"},
    )


def step(name, day, *more):
    return intent("step", name, "--as-of-date", str(day), *more)


def fetch(stack, query):
    with postgres.reading(stack.settings.analyst_url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


@contextmanager
def stopped(stack, program):
    """Stop a server while the block runs."""
    supervisor = Supervisor(stack.installation)
    supervisor._call("stopProcess", program)
    try:
        yield
    finally:
        supervisor.start(program)
        if program == "mlflow":
            address = stack.installation.address("mlflow") + "/health"
            wait_until(lambda: is_ok(address), "MLflow", 120)
        else:
            wait_until(lambda: intent("sql", "select 1").returncode == 0, "Postgres", 60)


def test_without_a_champion_a_day_is_refused_and_names_the_command_to_promote(stack):
    refused = step("pin", FIRST_DAY)
    assert refused.returncode == 78
    assert "champion" in refused.stderr
    assert "Aliases" in refused.stderr
    assert "intent promote" in refused.stderr


@pytest.fixture(scope="module")
def demo(stack):
    """The output of the demo, run to its end."""
    ended = intent("demo", timeout=900)
    assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
    return ended.stdout


def test_nine_days_of_predictions_are_in_sql(stack, demo):
    rows = fetch(
        stack,
        "SELECT as_of_date, count(*), count(DISTINCT customer_id), count(DISTINCT model_version),"
        " bool_and(probability_1d <= probability_3d AND probability_3d <= probability_7d"
        " AND probability_7d <= probability_14d) FROM intent.predictions GROUP BY 1 ORDER BY 1",
    )
    assert [row[0] for row in rows] == DAYS
    for day, count, customers, versions, monotone in rows:
        assert count == customers > 1000, day
        assert versions == 1
        assert monotone, "a longer horizon cannot be less likely"
    reasons = fetch(
        stack, "SELECT count(*) FROM intent.latest_predictions WHERE reason IS NOT NULL"
    )
    assert reasons[0][0] > 0


def test_exactly_the_active_customers_with_consent_are_predicted(stack, demo):
    active = """
    SELECT customer_id FROM shop.events JOIN shop.customers USING (customer_id)
    WHERE consent_personalisation AND NOT suppressed AND occurred_at < :end
    AND occurred_at >= CAST(:end AS timestamptz) - interval '30 days' GROUP BY 1 ORDER BY 1
    """
    with postgres.reading(stack.settings.shop_url) as connection:
        end = f"{LAST_DAY + timedelta(days=1)} 00:00+00"
        expected = list(connection.scalars(sa.text(active), {"end": end}))
    predicted = fetch(
        stack, "SELECT customer_id FROM intent.latest_predictions ORDER BY customer_id"
    )
    assert [row[0] for row in predicted] == expected


def test_the_first_day_is_measured_at_every_horizon_and_beats_the_base_rate(stack, demo):
    rows = fetch(
        stack,
        "SELECT horizon_days, value, baseline FROM intent.model_scorecard WHERE metric = 'log_loss'"
        f" AND slice = 'all' AND as_of_date = '{FIRST_DAY}' ORDER BY 1",
    )
    assert [row[0] for row in rows] == list(HORIZONS_DAYS)
    assert all(value < baseline for _, value, baseline in rows), rows
    newest = fetch(stack, "SELECT max(as_of_date) FROM intent.feedback_metrics")[0][0]
    assert newest == LAST_DAY - timedelta(days=2), "one day, and one for late events"


def test_outcomes_match_the_purchases_of_the_shop(stack, demo):
    sold = """
    SELECT count(DISTINCT e.customer_id) FROM shop.events AS e
    WHERE e.event_type = 'purchase' AND e.customer_id = ANY(:predicted)
      AND e.occurred_at >= :start AND e.occurred_at < :end
    """
    query = f"SELECT customer_id FROM intent.predictions WHERE as_of_date = '{FIRST_DAY}'"
    predicted = [row[0] for row in fetch(stack, query)]
    window = {"start": f"{FIRST_DAY + timedelta(days=1)} 00:00+00",
              "end": f"{FIRST_DAY + timedelta(days=8)} 00:00+00"}  # fmt: skip
    with postgres.reading(stack.settings.shop_url) as connection:
        buyers = connection.scalar(sa.text(sold), {"predicted": predicted, **window})
    purchased = "SELECT count(*) FROM intent.outcomes WHERE purchased AND horizon_days = 7"
    assert fetch(stack, f"{purchased} AND as_of_date = '{FIRST_DAY}'") == [(buyers,)]


def test_the_demo_prints_results_addresses_and_the_promotion(stack, demo):
    addresses = [stack.installation.address(name) for name in ("airflow", "mlflow")]
    for text in ("sets the alias", "Feedback on", "Highest predictions", "Try next", *addresses):
        assert text in demo, text
    assert "Traceback" not in demo


def test_the_version_in_the_registry_carries_evidence_gate_signature_and_metrics(stack, demo):
    from intent_tasks.stores import registry

    with registry.connected(stack.settings) as client:
        version = client.get_model_version_by_alias("purchase_intent", "champion")
        run = client.get_run(version.run_id)
        files = {file.path for file in client.list_artifacts(version.run_id)}
    assert version.tags["gate"] == "passed"
    for metric in ("accuracy", "precision", "recall", "f1", "auc", "log_loss", "calibration_error"):
        assert any(metric in name and "network" in name for name in run.data.metrics), metric
    for kind in ("served", "lightgbm", "logistic", "base_rate"):
        assert any(kind in name for name in run.data.metrics), kind
    assert "evidence.html" in files


def test_scoring_and_publishing_a_day_twice_gives_the_same_bytes(stack, demo):
    query = f"SELECT * FROM intent.predictions WHERE as_of_date = '{LAST_DAY}' ORDER BY 2"
    before = fetch(stack, query)
    forked = (stack.installation.logs / "fork-server.log").read_text()
    assert f"intent step score --as-of-date {LAST_DAY}" in forked, "Airflow forks, we spawn"
    for bucket in range(stack.settings.bucket_count):
        scored = step("score", LAST_DAY, "--bucket", str(bucket))
        assert scored.returncode == 0, scored.stderr
    published = step("publish", LAST_DAY)
    assert published.returncode == 0, published.stderr
    assert json.loads(published.stdout.splitlines()[-1])["rows"] == len(before)
    assert fetch(stack, query) == before


def test_a_second_demo_repeats_no_step(stack, demo):
    before = fetch(
        stack, "SELECT step, as_of_date, bucket, finished_at FROM intent.runs ORDER BY 1"
    )
    second = intent("demo", timeout=300)
    assert second.returncode == 0, second.stderr
    after = fetch(stack, "SELECT step, as_of_date, bucket, finished_at FROM intent.runs ORDER BY 1")
    assert sorted(after) == sorted(before)


def test_a_changed_model_file_is_refused_before_it_is_read(stack, demo):
    pin = ledger.receipt_of(stack.settings, "pin", LAST_DAY)
    (weights,) = (stack.home / pin["model_path"]).rglob("weights.npz")
    original = weights.read_bytes()
    weights.write_bytes(original[:-1] + bytes([original[-1] ^ 1]))
    try:
        refused = step("score", LAST_DAY, "--bucket", "0")
    finally:
        weights.write_bytes(original)
    assert refused.returncode == 78, refused.stderr
    assert "weights.npz" in refused.stderr


def test_a_server_that_is_down_is_a_temporary_failure(stack, demo):
    with stopped(stack, "mlflow"):
        assert step("pin", date(2026, 6, 29)).returncode == 75
    with stopped(stack, "postgres"):
        ended = step("extract", date(2026, 6, 29))
    assert ended.returncode == 75
    assert ended.stderr.startswith("TemporaryFailure: Postgres")


def test_status_shows_servers_champion_and_days(stack, demo):
    status = intent("status").stdout
    assert "RUNNING" in status
    assert "Champion: version 1" in status
    assert str(LAST_DAY) in status
