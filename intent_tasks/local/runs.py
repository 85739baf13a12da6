"""Start DAG runs, wait for them, and explain failures."""

import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from intent_tasks.definition import Definition
from intent_tasks.errors import IntentError
from intent_tasks.local import waiting
from intent_tasks.local.airflow_api import FINISHED, AirflowApi
from intent_tasks.settings import Settings
from intent_tasks.stores import ledger

DAILY, TRAIN, FEEDBACK = "intent_daily", "intent_train", "intent_feedback"
POLL_SECONDS = 1.0

PrintText = Callable[[str], None]
Json = dict[str, Any]


def _print_nothing(_: str) -> None:
    """Print nothing."""


class Runs:
    """The DAG runs of one installation, started by Airflow's API and checked in the ledger.

    Waiting has no time limit as long as a run makes progress.

    Args:
        api: of its Airflow.
        settings: of the installation.
        print_line: prints a line for the person who waits.
    """

    def __init__(
        self, api: AirflowApi, settings: Settings, print_line: PrintText = _print_nothing
    ) -> None:
        self.api = api
        self.settings = settings
        self.print_line = print_line

    def unpause(self) -> None:
        """Wait until Airflow has read all DAGs, and unpause them."""
        for dag_id in (TRAIN, DAILY, FEEDBACK):
            is_known = partial(self.api.dag_is_known, dag_id)
            waiting.wait_for_progress(is_known, dag_id, self.api.count_dags, POLL_SECONDS)
            waiting.retry(partial(self.api.unpause, dag_id))

    def run(self, dag_id: str, as_of_date: date, show_detail: PrintText) -> None:
        """Run a DAG for a day, or its failed tasks, and wait; do nothing when it has succeeded.

        Raises:
            IntentError: a task failed; the message quotes it and names its log.
            TemporaryFailure: there was no progress for a long time.
        """
        run_id = f"demo_{as_of_date.isoformat()}"
        conf = {"as_of_date": as_of_date.isoformat()}
        waiting.retry(lambda: self.api.trigger(dag_id, run_id, conf))
        self._wait(
            lambda: self._has_succeeded(dag_id, run_id, show_detail),
            f"{dag_id} {run_id}",
            lambda: [(dag_id, run_id)],
        )

    def backfill(self, days: list[date], show_detail: PrintText) -> None:
        """Run the daily DAG for the unpublished days, and wait for all of them.

        Raises:
            IntentError: a task failed; the message quotes it and names its log.
            TemporaryFailure: there was no progress for a long time.
        """
        first, last = self._noon(min(days)), self._noon(max(days))
        started_at, start = datetime.now(UTC), time.monotonic()
        half_a_day = timedelta(hours=12)
        accepted = False
        missing = days
        running: list[Json] = []

        def is_done() -> bool:
            nonlocal accepted, missing, running
            before, missing = missing, self.unpublished(days)
            published = f"{len(days) - len(missing)} of {len(days)} days"
            for day in before:
                if day not in missing:
                    seconds = time.monotonic() - start
                    self.print_line(f"{day} is published: {published}, in {seconds:.0f} s")
            if missing and not accepted:
                accepted = self.api.backfill(
                    DAILY,
                    first - half_a_day,
                    last + half_a_day,
                    at_once=self.settings.max_active_runs,
                )
            daily_runs = self.api.runs(DAILY)
            self._raise_for_failures(DAILY, daily_runs, since=started_at)
            running = [run for run in daily_runs if run["state"] == "running"]
            details = [*map(self._running_day, running), *_usual_duration(daily_runs)]
            show_detail("; ".join([f"{published} published", *details]))
            return not missing

        self._wait(is_done, f"{DAILY} of {len(days)} days", lambda: _run_ids(DAILY, running))

    def feedback(self, known_until: date, show_detail: PrintText) -> None:
        """Wait until all outcomes known on a day are measured and no run is unfinished."""
        started_at = datetime.now(UTC)
        unfinished: list[Json] = []

        def is_done() -> bool:
            nonlocal unfinished
            feedback_runs = self.api.runs(FEEDBACK)
            self._raise_for_failures(FEEDBACK, feedback_runs, since=started_at)
            unfinished = [run for run in feedback_runs if run["state"] not in FINISHED]
            show_detail(
                self._running_tasks(FEEDBACK, unfinished[0]["dag_run_id"]) if unfinished else ""
            )
            measured = ledger.receipt_of(self.settings, "measure", known_until)
            return not unfinished and measured is not None

        self._wait(is_done, FEEDBACK, lambda: _run_ids(FEEDBACK, unfinished))

    def unpublished(self, days: list[date]) -> list[date]:
        """Return the days that are not published according to the ledger."""
        return [d for d in days if ledger.receipt_of(self.settings, "publish", d) is None]

    def _wait(
        self,
        is_done: Callable[[], bool],
        name: str,
        read_run_ids: Callable[[], list[tuple[str, str]]],
    ) -> None:
        name = f"{name} (see {self.api.address})"
        waiting.wait_for_progress(
            is_done, name, lambda: self._progress(read_run_ids()), POLL_SECONDS
        )

    def _progress(self, run_ids: list[tuple[str, str]]) -> object:
        """Return a value that changes as long as some runs make progress.

        It holds the states of tasks and the size of their logs. While a task is running it also
        holds the scheduler's heartbeat, because the scheduler fails tasks without a heartbeat.
        """
        tasks = [task for dag_id, run_id in run_ids for task in self.api.tasks(dag_id, run_id)]
        states = [(t["task_id"], t.get("map_index"), t["try_number"], t["state"]) for t in tasks]
        any_running = any(task["state"] == "running" for task in tasks)
        heartbeat = self.api.heartbeat() if any_running else None
        log_bytes = sum(_log_bytes(self._log_folder(*run_id)) for run_id in run_ids)
        return run_ids, states, heartbeat, log_bytes

    def _log_folder(self, dag_id: str, run_id: str) -> Path:
        logs = self.settings.home / "airflow" / "logs"
        return logs / f"dag_id={dag_id}" / f"run_id={run_id}"

    def _has_succeeded(self, dag_id: str, run_id: str, show_detail: PrintText) -> bool:
        run = self.api.run(dag_id, run_id)
        if run is None or run["state"] not in FINISHED:
            show_detail(self._running_tasks(dag_id, run_id))
            return False
        if run["state"] == "failed":
            raise self._failure(dag_id, run_id)
        return True

    def _running_tasks(self, dag_id: str, run_id: str) -> str:
        states = [(t["task_id"], t["state"]) for t in self.api.tasks(dag_id, run_id)]
        return ", ".join(sorted({task for task, state in states if state == "running"}))

    def _running_day(self, run: Json) -> str:
        """Return the day of a run of the daily DAG, and its running tasks."""
        at = datetime.fromisoformat(run["logical_date"]) if run.get("logical_date") else None
        day = Definition(self.settings.time_zone).day_of(at) if at else run["dag_run_id"]
        return f"{day}: {self._running_tasks(DAILY, run['dag_run_id']) or 'starting'}"

    def _raise_for_failures(self, dag_id: str, dag_runs: Iterable[Json], since: datetime) -> None:
        for run in dag_runs:
            ended = run["end_date"] and datetime.fromisoformat(run["end_date"])
            if run["state"] == "failed" and ended and ended >= since:
                raise self._failure(dag_id, run["dag_run_id"])

    def _failure(self, dag_id: str, run_id: str) -> IntentError:
        failed = [task for task in self.api.tasks(dag_id, run_id) if task["state"] == "failed"]
        if not failed:
            return IntentError(f"The run {run_id} of {dag_id} failed: see {self.api.address}.")
        return IntentError(self._describe_failure(failed[0]))

    def _describe_failure(self, task: Json) -> str:
        lines = [line for line in self.api.log_lines(task) if line.strip()]
        message = next((line for line in reversed(lines) if _is_message(line)), "no message")
        attempt = f"attempt={task['try_number']}.log"
        return (
            f"Task {task['task_id']} of {task['dag_id']} failed in run {task['dag_run_id']}. "
            f"Message: {message} (page: {self.api.page(task)}; log: "
            f"{self._log_folder(task['dag_id'], task['dag_run_id'])}/task_id={task['task_id']}/…/"
            f"{attempt})"
        )

    def _noon(self, day: date) -> datetime:
        # The daily schedule is early in the morning, so that noon to noon contains one run.
        return Definition(self.settings.time_zone).day_start(day) + timedelta(hours=12)


def _run_ids(dag_id: str, dag_runs: Iterable[Json]) -> list[tuple[str, str]]:
    return [(dag_id, run["dag_run_id"]) for run in dag_runs]


def _usual_duration(dag_runs: Iterable[Json]) -> list[str]:
    """Return the median duration of successful runs as text; an empty list without any."""
    seconds = [
        (datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"]))
        for run in dag_runs
        if run["state"] == "success" and run.get("start_date") and run.get("end_date")
    ]
    if not seconds:
        return []
    usual = statistics.median(each.total_seconds() for each in seconds)
    return [f"a day usually takes {usual:.0f} s"]


def _log_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.log"))


def _is_message(line: str) -> bool:
    return line.startswith(("TemporaryFailure:", "Refused:", "BadInput:", "IntentError:")) or (
        "Error: " in line and not line.startswith(" ")
    )
