"""Waiting lasts as long as there is progress; temporary failures are retried."""

import itertools

import httpx
import pytest

from intent_tasks.errors import IntentError, TemporaryFailure
from intent_tasks.local import waiting
from intent_tasks.local.airflow_api import AirflowApi


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock that only pauses move."""
    passed = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: passed[0])
    monkeypatch.setattr(waiting.time, "sleep", lambda s: passed.__setitem__(0, passed[0] + s))
    return passed


def test_waiting_has_no_limit_while_there_is_progress(clock):
    progress = itertools.count()
    waiting.wait_for_progress(
        lambda: clock[0] >= 100_000, "training", lambda: next(progress), 60, 120
    )
    assert clock[0] == 100_020


def test_waiting_ends_without_progress(clock):
    with pytest.raises(TemporaryFailure, match=r"changed for 2 min .* training\. Run the same"):
        waiting.wait_for_progress(lambda: False, "training", lambda: "still", 1, 120)
    assert clock[0] == 121


def test_a_check_that_fails_temporarily_is_repeated(clock):
    checks = itertools.count()

    def done():
        if (n := next(checks)) % 2:
            raise TemporaryFailure("late")
        return n == 20

    waiting.wait_for_progress(done, "training", lambda: next(checks), 60, 600)


def test_checks_that_always_fail_end_with_the_failure(clock):
    def unreachable():
        raise TemporaryFailure("Airflow does not answer")

    with pytest.raises(TemporaryFailure, match="Airflow does not answer"):
        waiting.wait_for_progress(unreachable, "training", lambda: 1, 10, 120)
    assert 120 < clock[0] <= 140
    with pytest.raises(TemporaryFailure, match="Airflow does not answer"):
        waiting.retry(unreachable)
    assert clock[0] < 160


def test_an_error_is_not_retried(clock):
    def broken():
        raise IntentError("the task failed")

    with pytest.raises(IntentError, match="the task failed"):
        waiting.wait_for_progress(broken, "training", lambda: 1, 1, 120)
    assert clock[0] == 0


def test_a_late_and_a_failed_response_of_airflow_are_retried(clock):
    answers = iter([httpx.ReadTimeout("late"), 503, 200])

    def server(request):
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t0ken"})
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return httpx.Response(answer, json={"dag_runs": []})

    api = AirflowApi("http://airflow", "admin", "secret")
    api._http = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(server))
    assert waiting.retry(lambda: api.runs("intent_daily")) == []


def test_a_run_that_was_started_although_the_response_was_lost_is_no_failure():
    methods = []

    def server(request):
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t0ken"})
        methods.append(request.method)
        return httpx.Response(404 if request.method == "GET" else 409, json={})

    api = AirflowApi("http://airflow", "admin", "secret")
    api._http = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(server))
    api.trigger("intent_train", "demo", {})
    assert methods == ["GET", "POST"]
