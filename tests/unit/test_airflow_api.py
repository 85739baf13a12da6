import json
from http import HTTPStatus

import httpx
import pytest

from intent_tasks.errors import IntentError, TemporaryFailure
from intent_tasks.local.airflow_api import AirflowApi


class Server:
    """Answers by (method, path), and records the requests."""

    def __init__(self, answers):
        self.answers = answers | {("POST", "/auth/token"): (201, {"access_token": "t0ken"})}
        self.requests = []

    def __call__(self, request):
        body = json.loads(request.content) if request.content else None
        self.requests.append((request.method, request.url.path, body))
        if request.url.path != "/auth/token":
            assert request.headers["authorization"] == "Bearer t0ken"
        status, answer = self.answers[request.method, request.url.path]
        return httpx.Response(status, json=answer)


def _api(server):
    api = AirflowApi("http://airflow", "admin", "secret")
    api._http = httpx.Client(base_url="http://airflow", transport=httpx.MockTransport(server))
    return api


RUN = "/api/v2/dags/intent_train/dagRuns/demo_2026-06-14"


def test_logs_in_once():
    server = Server({("PATCH", "/api/v2/dags/d"): (200, {})})
    api = _api(server)
    api.unpause("d")
    api.unpause("d")
    assert [path for _, path, _ in server.requests].count("/auth/token") == 1


def test_a_missing_run_is_triggered():
    server = Server(
        {
            ("GET", RUN): (404, {}),
            ("POST", "/api/v2/dags/intent_train/dagRuns"): (200, {}),
        }
    )
    _api(server).trigger("intent_train", "demo_2026-06-14", {"as_of_date": "2026-06-14"})
    assert server.requests[-1][2] == {
        "dag_run_id": "demo_2026-06-14",
        "logical_date": None,
        "conf": {"as_of_date": "2026-06-14"},
    }


@pytest.mark.parametrize(
    ("state", "cleared"), [("failed", True), ("success", False), ("running", False)]
)
def test_only_the_failed_tasks_of_a_failed_run_are_cleared(state, cleared):
    server = Server({("GET", RUN): (200, {"state": state}), ("POST", f"{RUN}/clear"): (200, {})})
    _api(server).trigger("intent_train", "demo_2026-06-14", {})
    clears = [body for method, path, body in server.requests if path == f"{RUN}/clear"]
    assert clears == ([{"dry_run": False, "only_failed": True}] if cleared else [])


def test_a_backfill_waits_for_a_running_one():
    from datetime import UTC, datetime

    day = datetime(2026, 6, 23, tzinfo=UTC)
    server = Server({("POST", "/api/v2/backfills"): (HTTPStatus.CONFLICT, {"detail": "running"})})
    assert _api(server).backfill("intent_daily", day, day, at_once=2) is False
    server.answers["POST", "/api/v2/backfills"] = (200, {"id": 1})
    assert _api(server).backfill("intent_daily", day, day, at_once=2) is True


def test_a_broken_dag_file_is_named():
    trace = "Traceback (most recent call last):\n  …\nModuleNotFoundError: No module named 'x'\n"
    broken = {"import_errors": [{"filename": "intent_daily.py", "stack_trace": trace}]}
    server = Server({("GET", "/api/v2/importErrors"): (200, broken)})
    with pytest.raises(IntentError, match=r"intent_daily\.py: ModuleNotFoundError"):
        _api(server).dag_is_known("intent_daily")


def test_an_unreachable_airflow_is_a_temporary_failure():
    def unreachable(request):
        raise httpx.ConnectError("refused")

    with pytest.raises(TemporaryFailure, match="does not answer"):
        _api(unreachable).runs("intent_daily")


def test_a_refusal_of_airflow_is_quoted():
    server = Server({("PATCH", "/api/v2/dags/d"): (403, {"detail": "Forbidden"})})
    with pytest.raises(IntentError, match=r"PATCH dags/d.*Forbidden"):
        _api(server).unpause("d")
