"""The part of Airflow's REST API that the demo uses."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import httpx

from intent_tasks.errors import IntentError, TemporaryFailure

Json = dict[str, Any]
Body = Mapping[str, object]

FINISHED = ("success", "failed")
"""Final states of a DAG run."""


class AirflowApi:
    """A logged-in client. Calls raise TemporaryFailure when Airflow does not answer or fails."""

    def __init__(self, address: str, user: str, password: str) -> None:
        self.address = address
        self._http = httpx.Client(base_url=address, timeout=30)
        self._login = {"username": user, "password": password}

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def dag_is_known(self, dag_id: str) -> bool:
        """Return whether the DAG processor has read the DAG.

        Raises:
            IntentError: a DAG file cannot be read.
        """
        for broken in self._call("GET", "importErrors")["import_errors"]:
            message = broken["stack_trace"].strip().splitlines()[-1]
            raise IntentError(f"Airflow cannot read {broken['filename']}: {message}")
        with self._connected():
            answer = self._http.get(f"/api/v2/dags/{dag_id}", headers=self._headers())
        return answer.is_success

    def count_dags(self) -> int:
        """Return the number of DAGs that the DAG processor has read."""
        return int(self._call("GET", "dags?limit=1")["total_entries"])

    def heartbeat(self) -> str | None:
        """Return the time of the last heartbeat of the scheduler, which fails tasks that died."""
        health = self._call("GET", "monitor/health")
        last: str | None = health["scheduler"].get("latest_scheduler_heartbeat")
        return last

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self._call("PATCH", f"dags/{dag_id}", json={"is_paused": False})

    def run(self, dag_id: str, run_id: str) -> Json | None:
        """Return a DAG run, or None."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id)}"
        run: Json | None = self._call("GET", path, unless=HTTPStatus.NOT_FOUND)
        return run

    def runs(self, dag_id: str) -> list[Json]:
        """Return the newest 100 runs of a DAG, newest first."""
        path = f"dags/{dag_id}/dagRuns?limit=100&order_by=-run_after"
        return list(self._call("GET", path)["dag_runs"])

    def trigger(self, dag_id: str, run_id: str, conf: Body) -> None:
        """Start a run with this id, or clear the failed tasks of one that failed."""
        run = self.run(dag_id, run_id)
        if run is None:
            body: Body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
            # The run exists when an earlier answer was lost.
            self._call("POST", f"dags/{dag_id}/dagRuns", json=body, unless=HTTPStatus.CONFLICT)
        elif run["state"] == "failed":
            body = {"dry_run": False, "only_failed": True}
            self._call("POST", f"dags/{dag_id}/dagRuns/{quote(run_id)}/clear", json=body)

    def backfill(self, dag_id: str, first: datetime, last: datetime, at_once: int) -> bool:
        """Start a backfill that also repeats failed runs; return False while another one runs."""
        body = {
            "dag_id": dag_id,
            "from_date": first.isoformat(),
            "to_date": last.isoformat(),
            "reprocess_behavior": "failed",
            "max_active_runs": at_once,
        }
        return self._call("POST", "backfills", json=body, unless=HTTPStatus.CONFLICT) is not None

    def tasks(self, dag_id: str, run_id: str) -> list[Json]:
        """Return the task instances of a run."""
        path = f"dags/{dag_id}/dagRuns/{quote(run_id)}/taskInstances?limit=100"
        return list(self._call("GET", path)["task_instances"])

    def log_lines(self, task: Json) -> list[str]:
        """Return the messages in the log of a task instance's last try."""
        path = (
            f"dags/{task['dag_id']}/dagRuns/{quote(task['dag_run_id'])}/taskInstances/"
            f"{task['task_id']}/logs/{task['try_number']}"
            f"?full_content=true&map_index={task['map_index']}"
        )
        content = self._call("GET", path)["content"]
        return [line if isinstance(line, str) else str(line.get("event", "")) for line in content]

    def page(self, task: Json) -> str:
        """Return the address of the page of a task instance."""
        mapped = f"/mapped/{task['map_index']}" if task["map_index"] >= 0 else ""
        run = quote(task["dag_run_id"], safe="")
        return f"{self.address}/dags/{task['dag_id']}/runs/{run}/tasks/{task['task_id']}{mapped}"

    def _headers(self) -> dict[str, str]:
        if "access_token" not in self._login:
            answer = self._http.post("/auth/token", json=self._login)
            answer.raise_for_status()
            self._login["access_token"] = answer.json()["access_token"]
        return {"Authorization": f"Bearer {self._login['access_token']}"}

    def _call(
        self, method: str, path: str, json: Body | None = None, unless: HTTPStatus | None = None
    ) -> Any:  # noqa: ANN401 - JSON
        with self._connected():
            answer = self._http.request(
                method, f"/api/v2/{path}", json=json, headers=self._headers()
            )
        if answer.status_code == unless:
            return None
        if answer.is_server_error:
            raise TemporaryFailure(f"Airflow failed at {method} {path}: {answer.text[:500]}")
        if answer.is_error:
            raise IntentError(f"Airflow answered {method} {path}: {answer.text[:500]}")
        return answer.json()

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise TemporaryFailure(
                f"Airflow at {self.address} does not answer ({error}). See `intent status`."
            ) from None
