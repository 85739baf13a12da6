import itertools
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from intent_tasks.errors import IntentError, TemporaryFailure
from intent_tasks.local import runs, waiting
from intent_tasks.local.plan import Plan

DAYS = [date(2026, 6, 29), date(2026, 6, 30)]


class Airflow:
    """A scheduler that makes one step of progress at each call."""

    address = "http://airflow"

    def __init__(self, states):
        self.states = iter(states)
        self.backfills = []

    def trigger(self, dag_id, run_id, conf):
        self.triggered = (dag_id, run_id, conf)

    def run(self, dag_id, run_id):
        return {"state": next(self.states), "dag_run_id": run_id}

    def runs(self, dag_id):
        return list(next(self.states))

    def tasks(self, dag_id, run_id):
        task = {"dag_id": dag_id, "dag_run_id": run_id, "try_number": 2, "map_index": -1}
        return [
            task | {"task_id": "window", "state": "success"},
            task | {"task_id": "train", "state": "failed"},
        ]

    def log_lines(self, task):
        return [
            "Starting",
            "Refused: too few buyers: 3, at least 100 are needed.",
            "  File x, line 1, in train: Error: inner",
            "Task failed",
        ]

    def page(self, task):
        return f"http://airflow/{task['task_id']}"

    def backfill(self, dag_id, first, last, at_once):
        self.backfills.append((first, last))
        return len(self.backfills) > 1


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "POLL_SECONDS", 0)
    return SimpleNamespace(home=tmp_path, time_zone="Europe/Berlin", max_active_runs=2)


def test_waits_until_the_run_has_succeeded(settings):
    api = Airflow(["queued", "running", "success"])
    details = []
    runs.Runs(api, settings).run("intent_train", date(2026, 6, 14), details.append)
    assert api.triggered == ("intent_train", "demo_2026-06-14", {"as_of_date": "2026-06-14"})
    assert len(details) == 2


def test_a_failure_names_the_task_its_message_and_its_log(settings):
    api = Airflow(["failed"])
    with pytest.raises(IntentError) as caught:
        runs.Runs(api, settings).run("intent_train", date(2026, 6, 14), print)
    message = str(caught.value)
    assert message.startswith("Task train of intent_train failed in run demo_2026-06-14.")
    assert "Message: Refused: too few buyers: 3, at least 100 are needed." in message
    assert "page: http://airflow/train" in message
    assert "dag_id=intent_train/run_id=demo_2026-06-14/task_id=train/…/attempt=2.log" in message


def _published_after(queries, monkeypatch):
    """Let the ledger know all days after this many queries."""
    count = iter(range(1000))

    def receipt_of(settings, step, day):
        return {"rows": 1} if next(count) >= queries * len(DAYS) else None

    monkeypatch.setattr(runs.ledger, "receipt_of", receipt_of)


def test_a_backfill_is_requested_until_it_is_accepted(settings, monkeypatch):
    _published_after(3, monkeypatch)
    api = Airflow([[], [], [], []])
    runs.Runs(api, settings).backfill(DAYS, lambda _: None)
    assert len(api.backfills) == 2
    first, last = api.backfills[0]
    assert first == datetime(2026, 6, 28, 22, tzinfo=UTC), "the local midnight that begins a day"
    assert last == datetime(2026, 6, 30, 22, tzinfo=UTC)


def test_days_that_are_published_are_not_run_again(settings, monkeypatch):
    _published_after(0, monkeypatch)
    api = Airflow([[]])
    runs.Runs(api, settings).backfill(DAYS, lambda _: None)
    assert api.backfills == []


def test_a_day_that_failed_long_ago_is_no_failure_of_this_backfill(settings, monkeypatch):
    _published_after(3, monkeypatch)
    old = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    failed = {"state": "failed", "end_date": old, "dag_run_id": "backfill_old"}
    runs.Runs(Airflow([[failed]] * 4), settings).backfill(DAYS, lambda _: None)

    _published_after(3, monkeypatch)
    now = failed | {"end_date": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}
    with pytest.raises(IntentError, match="Task train of intent_daily failed in run backfill_old"):
        runs.Runs(Airflow([[now]] * 4), settings).backfill(DAYS, lambda _: None)


def test_a_backfill_shows_the_running_task_of_each_day(settings, monkeypatch):
    _published_after(3, monkeypatch)
    at = datetime(2026, 6, 28, 22, tzinfo=UTC)
    ended = {"state": "success", "start_date": at.isoformat(), "dag_run_id": "r1",
             "end_date": (at + timedelta(seconds=41)).isoformat()}  # fmt: skip
    running = {"state": "running", "dag_run_id": "r2", "logical_date": "2026-06-29T00:30:00Z",
               "end_date": None}  # fmt: skip
    api = Airflow([[ended, running]] * 4)
    api.tasks = lambda *_: [{"task_id": "score", "state": "running", "try_number": 1}]
    api.heartbeat = lambda: "now"
    details, lines = [], []
    runs.Runs(api, settings, lines.append).backfill(DAYS, details.append)
    assert details[0] == "0 of 2 days published; 2026-06-29: score; a day usually takes 41 s"
    assert [text.split(", in")[0] for text in lines] == [
        "2026-06-29 is published: 2 of 2 days",
        "2026-06-30 is published: 2 of 2 days",
    ]


class Training(Airflow):
    """A training of 200 polls, of which Airflow answers two out of three."""

    def __init__(self, states, heartbeat=None):
        super().__init__(states)
        self.polls = 0
        self._heartbeat = heartbeat or (lambda: self.polls)

    def tasks(self, dag_id, run_id):
        self.polls += 1
        if self.polls % 3 == 0:
            raise TemporaryFailure("late")
        return [{"task_id": "train", "state": "running", "try_number": 1}]

    def heartbeat(self):
        return self._heartbeat()


def test_waiting_lasts_while_a_training_makes_progress_although_responses_are_late(
    settings, monkeypatch
):
    monkeypatch.setattr(waiting, "STALL_SECONDS", 3)
    times = itertools.count()
    monkeypatch.setattr(waiting.time, "monotonic", lambda: next(times) / 2)
    api = Training(["running"] * 200 + ["success"])
    runs.Runs(api, settings).run("intent_train", DAYS[0], lambda _: None)
    assert api.polls > 200, "longer than the limit without progress"


def test_waiting_for_a_task_ends_when_the_scheduler_is_dead(settings, monkeypatch):
    monkeypatch.setattr(waiting, "STALL_SECONDS", 3)
    times = itertools.count()
    monkeypatch.setattr(waiting.time, "monotonic", lambda: next(times) / 2)
    api = Training(["running"] * 200, heartbeat=lambda: "long ago")
    with pytest.raises(TemporaryFailure, match="intent_train demo_2026-06-29"):
        runs.Runs(api, settings).run("intent_train", DAYS[0], lambda _: None)


def test_a_log_that_grows_is_progress(settings):
    waited = runs.Runs(Airflow([]), settings)
    before = waited._progress([("intent_train", "demo")])
    log = waited._log_folder("intent_train", "demo") / "task_id=train" / "attempt=1.log"
    log.parent.mkdir(parents=True)
    log.write_text("epoch 1")
    assert waited._progress([("intent_train", "demo")]) != before


def test_feedback_is_complete_when_it_is_measured_and_no_run_is_unfinished(settings, monkeypatch):
    monkeypatch.setattr(runs.ledger, "receipt_of", lambda *_: {"rows": 1})
    busy = {"state": "running", "end_date": None, "dag_run_id": "asset_1"}
    api = Airflow([[busy], [busy], [busy], [busy], []])
    runs.Runs(api, settings).feedback(DAYS[-1], lambda _: None)
    assert list(api.states) == [], "it polled until no run was unfinished"


def test_the_first_day_of_the_plan_is_known_at_every_horizon_today():
    from intent_tasks.definition import HORIZONS_DAYS, Definition

    plan = Plan(date(2026, 6, 30))
    definition = Definition()
    assert definition.matured_on(plan.first_day, max(HORIZONS_DAYS)) == plan.today
    assert plan.trained_on < plan.first_day
    assert (len(plan.recent_days), plan.recent_days[-1]) == (8, plan.today)


def test_the_plan_has_no_day_on_which_the_shop_was_closed():
    last = date(2026, 6, 28)
    whole = Plan(last)
    plan = Plan(last, frozenset({last, whole.first_day, whole.recent_days[2]}))
    assert plan.today == last - timedelta(days=1)
    days = [plan.trained_on, plan.first_day, *plan.recent_days]
    assert plan.closed.isdisjoint(days)
    assert len(plan.recent_days) == 7, "eight days, one of them closed"
    assert days == sorted(set(days)), "trained before the first prediction"
