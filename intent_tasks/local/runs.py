"""Wait for DAG runs, and say in full what went wrong with one that failed."""

import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

from intent_tasks.definition import Definition
from intent_tasks.errors import IntentError
from intent_tasks.local.airflow_api import FINISHED, AirflowApi
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres

DAILY, TRAIN, FEEDBACK = "intent_daily", "intent_train", "intent_feedback"
POLL_SECONDS = 1.0
LONGEST_SECONDS = 3600
"""A run that takes longer than this is not waited for."""
READ_SECONDS = 120
"""Time for the DAG processor to read all DAG files after its start."""

Show = Callable[[str], None]


class Runs:
    """The DAGs of one installation, driven by Airflow's API and checked in the ledger."""

    def __init__(self, api: AirflowApi, settings: Settings) -> None:
        self.api = api
        self.settings = settings

    def unpause(self) -> None:
        """Let the scheduler run all DAGs, once it knows them."""
        for dag_id in (TRAIN, DAILY, FEEDBACK):
            _until(partial(self.api.dag_is_known, dag_id), dag_id, READ_SECONDS)
            self.api.unpause(dag_id)

    def run(self, dag_id: str, as_of_date: date, show: Show) -> None:
        """Run a DAG for a day, or what failed of it, and wait; once it succeeded: do nothing.

        Raises:
            IntentError: a task failed; with its message and where its log is.
        """
        run_id = f"demo_{as_of_date.isoformat()}"
        self.api.trigger(dag_id, run_id, {"as_of_date": as_of_date.isoformat()})
        _until(lambda: self._has_succeeded(dag_id, run_id, show), dag_id, LONGEST_SECONDS)

    def backfill(self, days: list[date], show: Show) -> None:
        """Run the daily DAG for days that are not published yet, and wait for all of them."""
        first, last = self._noon(min(days)), self._noon(max(days))
        begun = datetime.now(UTC)
        half_a_day = timedelta(hours=12)
        accepted = False

        def done() -> bool:
            nonlocal accepted
            missing = self.unpublished(days)
            if missing and not accepted:
                accepted = self.api.backfill(
                    DAILY,
                    first - half_a_day,
                    last + half_a_day,
                    at_once=self.settings.max_active_runs,
                )
            self._raise_for_failures(DAILY, since=begun)
            show(f"{len(days) - len(missing)} of {len(days)} days published")
            return not missing

        _until(done, DAILY, LONGEST_SECONDS)

    def feedback(self, known_until: date, show: Show) -> None:
        """Wait until everything that matured by a day is measured and no run is under way."""
        begun = datetime.now(UTC)

        def done() -> bool:
            self._raise_for_failures(FEEDBACK, since=begun)
            busy = [run for run in self.api.runs(FEEDBACK) if run["state"] not in FINISHED]
            show(self._at_work(FEEDBACK, busy[0]["dag_run_id"]) if busy else "")
            measured = postgres.receipt_of(self.settings, "measure", known_until)
            return not busy and measured is not None

        _until(done, FEEDBACK, LONGEST_SECONDS)

    def unpublished(self, days: list[date]) -> list[date]:
        """Return those of the days that the ledger does not know as published."""
        return [d for d in days if postgres.receipt_of(self.settings, "publish", d) is None]

    def _has_succeeded(self, dag_id: str, run_id: str, show: Show) -> bool:
        run = self.api.run(dag_id, run_id)
        if run is None or run["state"] not in FINISHED:
            show(self._at_work(dag_id, run_id))
            return False
        if run["state"] == "failed":
            raise self._failure(dag_id, run_id)
        return True

    def _at_work(self, dag_id: str, run_id: str) -> str:
        states = [(t["task_id"], t["state"]) for t in self.api.tasks(dag_id, run_id)]
        return ", ".join(sorted({task for task, state in states if state == "running"}))

    def _raise_for_failures(self, dag_id: str, since: datetime) -> None:
        for run in self.api.runs(dag_id):
            ended = run["end_date"] and datetime.fromisoformat(run["end_date"])
            if run["state"] == "failed" and ended and ended >= since:
                raise self._failure(dag_id, run["dag_run_id"])

    def _failure(self, dag_id: str, run_id: str) -> IntentError:
        failed = [task for task in self.api.tasks(dag_id, run_id) if task["state"] == "failed"]
        if not failed:
            return IntentError(f"The run {run_id} of {dag_id} failed: see {self.api.address}.")
        return IntentError(self._what_failed(failed[0]))

    def _what_failed(self, task: dict[str, Any]) -> str:
        lines = [line for line in self.api.log_lines(task) if line.strip()]
        said = next((line for line in reversed(lines) if _is_message(line)), "nothing")
        attempt = f"attempt={task['try_number']}.log"
        return (
            f"Task {task['task_id']} of {task['dag_id']} failed in run {task['dag_run_id']}. "
            f"It said: {said} (page: {self.api.page(task)}; log: "
            f"{self.settings.home / 'airflow' / 'logs'}/dag_id={task['dag_id']}/"
            f"run_id={task['dag_run_id']}/task_id={task['task_id']}/…/{attempt})"
        )

    def _noon(self, day: date) -> datetime:
        # The daily schedule is early in the morning: a day on either side of noon is one run.
        return Definition(self.settings.time_zone).day_start(day) + timedelta(hours=12)


def _is_message(line: str) -> bool:
    return line.startswith(("TemporaryFailure:", "Refused:", "BadInput:", "IntentError:")) or (
        "Error: " in line and not line.startswith(" ")
    )


def _until(true: Callable[[], bool], what: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise IntentError(f"Waited {seconds / 60:.0f} minutes for {what}; see the Airflow UI.")
        time.sleep(POLL_SECONDS)
