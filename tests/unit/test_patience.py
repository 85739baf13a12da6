"""What moves is waited for, however long it takes; what fails once is asked again."""

import itertools

import httpx
import pytest

from intent_tasks.errors import IntentError, TemporaryFailure
from intent_tasks.local import patience
from intent_tasks.local.airflow_api import AirflowApi


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """A clock on which every pause takes as long as it says, and nothing else takes time."""
    passed = [0.0]
    monkeypatch.setattr(patience.time, "monotonic", lambda: passed[0])
    monkeypatch.setattr(patience.time, "sleep", lambda s: passed.__setitem__(0, passed[0] + s))
    return passed


def test_what_moves_is_waited_for_however_long_it_takes(clock):
    moves = itertools.count()
    patience.until(lambda: clock[0] >= 100_000, "training", lambda: next(moves), 60, 120)
    assert clock[0] == 100_020


def test_what_does_not_move_is_given_up(clock):
    with pytest.raises(TemporaryFailure, match=r"changed for 2 min .* training\. Run the same"):
        patience.until(lambda: False, "training", lambda: "still", 1, 120)
    assert clock[0] == 121


def test_a_question_that_fails_now_and_then_is_asked_again(clock):
    asked = itertools.count()

    def done():
        if (n := next(asked)) % 2:
            raise TemporaryFailure("late")
        return n == 20

    patience.until(done, "training", lambda: next(asked), 60, 600)


def test_questions_that_all_fail_are_given_up_with_the_failure(clock):
    def away():
        raise TemporaryFailure("Airflow does not answer")

    with pytest.raises(TemporaryFailure, match="Airflow does not answer"):
        patience.until(away, "training", lambda: 1, 10, 120)
    assert 120 < clock[0] <= 140
    with pytest.raises(TemporaryFailure, match="Airflow does not answer"):
        patience.asked(away)
    assert clock[0] < 160


def test_what_is_broken_is_not_waited_for(clock):
    def broken():
        raise IntentError("the task failed")

    with pytest.raises(IntentError, match="the task failed"):
        patience.until(broken, "training", lambda: 1, 1, 120)
    assert clock[0] == 0


def test_one_late_and_one_failed_answer_of_airflow_end_nothing(clock):
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
    assert patience.asked(lambda: api.runs("intent_daily")) == []


def test_a_run_that_was_begun_though_the_answer_got_lost_is_no_failure():
    asked = []

    def server(request):
        if request.url.path == "/auth/token":
            return httpx.Response(201, json={"access_token": "t0ken"})
        asked.append(request.method)
        return httpx.Response(404 if request.method == "GET" else 409, json={})

    api = AirflowApi("http://airflow", "admin", "secret")
    api._http = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(server))
    api.trigger("intent_train", "demo", {})
    assert asked == ["GET", "POST"]
