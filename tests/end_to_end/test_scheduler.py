"""The DAGs in a real Airflow scheduler, with stand-ins for the steps."""

import os
import time
from datetime import date, timedelta
from pathlib import Path

import httpx
import pytest

from tools.testbed.airflow_server import DAGS, LAST_DAY, wait_for

pytestmark = pytest.mark.end_to_end

DAILY_STEPS = ["extract", "pin", "publish", "score", "score", "validate"]


def run_day(airflow, day, dag_id="intent_daily"):
    """Trigger a DAG for a day; return its state, and the state of each task."""
    run_id = f"test_{day}"
    airflow.api.trigger(dag_id, run_id, {"as_of_date": day})
    state = airflow.wait_for_run(dag_id, run_id)
    return state, {t["task_id"]: t["state"] for t in airflow.api.tasks(dag_id, run_id)}


def tasks_of(airflow, day, dag_id="intent_daily"):
    return airflow.api.tasks(dag_id, f"test_{day}")


def attempts(airflow, day, steps=frozenset(DAILY_STEPS)):
    """Return the steps that were started for a day, by default of the daily DAG."""
    return sorted(s for s, of, _, _ in airflow.attempts() if of == str(day) and s in steps)


def log_of(airflow, task):
    return "\n".join(airflow.api.log_lines(task))


def backfill(airflow, first, last, **options):
    """Backfill two days, wait for both, and return them in the order of their start."""
    earlier = len(airflow.attempts())
    body = {
        "dag_id": "intent_daily",
        "from_date": f"{first}T00:00:00+02:00",
        "to_date": f"{last}T23:00:00+02:00",
        "max_active_runs": 1,
        **options,
    }
    # Airflow takes up to 30 s to see that the backfill before this one is complete.
    wait_for(lambda: airflow.http.post("/api/v2/backfills", json=body).is_success, "a backfill")

    def days_of(step):
        return [day for s, day, _, _ in airflow.attempts()[earlier:] if s == step]

    wait_for(lambda: len(days_of("publish")) == 2, "its end")
    return days_of("extract")


def test_nothing_is_scheduled_after_the_last_day_of_a_recording(airflow):
    kinds = {r["run_type"] for dag_id in DAGS for r in airflow.api.runs(dag_id)}
    assert "scheduled" not in kinds


def test_days_are_backfilled_in_any_order_and_twice(airflow):
    first, last = date(2026, 6, 9), date(2026, 6, 10)
    assert backfill(airflow, first, last, run_backwards=True) == [str(last), str(first)]
    assert attempts(airflow, first) == attempts(airflow, last) == DAILY_STEPS
    repeat = {"reprocess_behavior": "completed"}
    assert backfill(airflow, first, last, **repeat) == [str(first), str(last)]
    assert attempts(airflow, last) == sorted(DAILY_STEPS * 2)


def test_feedback_follows_with_the_newest_day_that_was_published(airflow):
    day = "2026-06-20"
    assert run_day(airflow, day)[0] == "success"
    steps = {"mature", "measure"}
    wait_for(lambda: attempts(airflow, day, steps) == sorted(steps), "feedback of that day")


def test_a_run_by_hand_without_a_day_takes_the_last_one(airflow):
    airflow.api.trigger("intent_daily", "by_hand", {})
    assert airflow.wait_for_run("intent_daily", "by_hand") == "success"
    assert set(DAILY_STEPS) <= set(attempts(airflow, LAST_DAY))


def test_a_run_of_the_trigger_form_with_a_logical_date_of_today_starts(airflow):
    body = {"dag_run_id": "form", "logical_date": time.strftime("%Y-%m-%dT00:00:00Z"), "conf": {}}
    airflow.call("POST", "dags/intent_daily/dagRuns", **body)
    assert airflow.wait_for_run("intent_daily", "form") == "success"


def test_an_invalid_day_is_refused_at_once(airflow):
    body = {"logical_date": None, "conf": {"as_of_date": "2026-02-30"}}
    answer = airflow.http.post("/api/v2/dags/intent_daily/dagRuns", json=body)
    assert answer.status_code == 400
    assert "as_of_date" in answer.text


def test_a_temporary_failure_is_retried(airflow):
    airflow.set_endings("extract", 75)
    state, _ = run_day(airflow, "2026-05-01")
    assert state == "success"
    assert attempts(airflow, "2026-05-01").count("extract") == 2


def test_a_refusal_fails_without_retry_and_its_message_is_logged(airflow):
    airflow.set_endings("validate", 78)
    state, tasks = run_day(airflow, "2026-05-02")
    assert state == "failed"
    assert tasks["validate"] == "failed"
    assert tasks["score"] == tasks["publish"] == "upstream_failed"
    assert attempts(airflow, "2026-05-02") == ["extract", "pin", "validate"]
    (failed,) = [t for t in tasks_of(airflow, "2026-05-02") if t["state"] == "failed"]
    assert "Refused: validate ends with 78" in log_of(airflow, failed)


def test_a_cleared_run_resumes_at_the_failed_task(airflow):
    airflow.set_endings("pin", 78)
    assert run_day(airflow, "2026-05-03")[0] == "failed"
    airflow.api.trigger("intent_daily", "test_2026-05-03", {})  # clears what failed
    wait_for(lambda: "publish" in attempts(airflow, "2026-05-03"), "the rest of the day")
    assert attempts(airflow, "2026-05-03") == sorted([*DAILY_STEPS, "pin"])


def test_a_skipped_extract_skips_the_day_and_publishes_nothing(airflow):
    airflow.set_endings("extract", 99)
    state, tasks = run_day(airflow, "2026-05-04")
    assert state == "success"
    assert tasks.pop("pin") == "success"
    assert set(tasks.values()) == {"skipped"}
    assert attempts(airflow, "2026-05-04") == ["extract", "pin"]


def test_a_failing_bucket_keeps_the_day_from_being_published(airflow):
    airflow.set_endings("score", 0, 78)
    state, tasks = run_day(airflow, "2026-05-05")
    assert state == "failed"
    assert tasks["publish"] == "upstream_failed"


def test_marking_a_task_failed_stops_its_step(airflow):
    day = "2026-05-06"
    airflow.set_endings("extract", "sleep")
    airflow.api.trigger("intent_daily", f"test_{day}", {"as_of_date": day})
    rows = wait_for(lambda: [r for r in airflow.attempts() if r[:2] == ("extract", day)], "extract")
    path = f"dags/intent_daily/dagRuns/test_{day}/taskInstances/extract"
    airflow.call("PATCH", path, new_state="failed")
    wait_for(lambda: not Path(f"/proc/{rows[0][3]}").exists(), "the end of the step")
    assert airflow.wait_for_run("intent_daily", f"test_{day}") == "failed"


def test_a_second_training_waits_for_the_first(airflow):
    airflow.set_endings("train", "sleep")
    for day in ("2026-04-01", "2026-04-02"):
        airflow.api.trigger("intent_train", f"test_{day}", {"as_of_date": day})
    rows = wait_for(
        lambda: [r for r in airflow.attempts() if r[:2] == ("train", "2026-04-01")],
        "the first training",
    )
    assert airflow.api.run("intent_train", "test_2026-04-02")["state"] == "queued"
    os.kill(rows[0][3], 9)  # out of memory, say: it is retried
    assert airflow.wait_for_run("intent_train", "test_2026-04-01") == "success"
    assert airflow.wait_for_run("intent_train", "test_2026-04-02") == "success"


def links_of(airflow, day, task_id):
    path = f"dags/intent_daily/dagRuns/test_{day}/taskInstances/{task_id}/links"
    return airflow.call("GET", path)["extra_links"]


def test_the_links_of_a_task_lead_somewhere(airflow):
    day = str(LAST_DAY - timedelta(days=1))
    docs = airflow.home / "data_docs"
    docs.mkdir(exist_ok=True)
    (docs / "day.html").write_text("the checks of the day")
    assert run_day(airflow, day)[0] == "success"
    assert links_of(airflow, day, "pin")["MLflow run"] == "http://mlflow/pin"
    page = airflow.get(links_of(airflow, day, "validate")["Data Docs"])
    assert page.text == "the checks of the day"
    rows = airflow.get(links_of(airflow, day, "publish")["Rows written"]).text
    assert "FROM intent.predictions" in rows
    assert f"as_of_date = '{day}'" in rows.replace("&#x27;", "'")


def test_the_button_of_a_refused_validation_leads_to_its_own_page(airflow):
    day = "2026-05-07"
    docs = airflow.home / "data_docs"
    docs.mkdir(exist_ok=True)
    (docs / "refused.html").write_text("what was refused")
    airflow.set_endings("validate", 78)
    assert run_day(airflow, day)[0] == "failed"
    links = links_of(airflow, day, "validate")
    assert airflow.get(links["Data Docs"]).text == "what was refused"
    assert not links["Rows written"]


def test_the_pages_require_a_log_in(airflow):
    with httpx.Client(base_url=airflow.http.base_url) as anonymous:
        for path in ("/intent/data_docs/day.html", "/intent/rows/publish/2026-06-30"):
            answer = anonymous.get(path)
            assert answer.status_code == 307
            assert "/auth/login?next=" in answer.headers["location"]


@pytest.mark.parametrize("name", ["%2e%2e/journal", "..%2fjournal", "", "no.html"])
def test_only_data_docs_are_served(airflow, name):
    assert airflow.get(f"/intent/data_docs/{name}").status_code == 404


def test_rows_of_no_step_or_no_day_are_refused(airflow):
    assert airflow.get("/intent/rows/nothing/2026-06-30").status_code == 422
    assert airflow.get("/intent/rows/publish/yesterday").status_code == 422
