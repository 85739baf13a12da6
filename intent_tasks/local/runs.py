"""Wait for DAG runs, and say in full what went wrong with one that failed."""

import statistics
import time
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from intent_tasks.definition import Definition
from intent_tasks.errors import IntentError
from intent_tasks.local import patience
from intent_tasks.local.airflow_api import FINISHED, AirflowApi
from intent_tasks.settings import Settings
from intent_tasks.stores import ledger

DAILY, TRAIN, FEEDBACK = "intent_daily", "intent_train", "intent_feedback"
POLL_SECONDS = 1.0

Show = Callable[[str], None]
Json = dict[str, Any]


def _silent(_: str) -> None:
    """Say nothing."""


class Runs:
    """The DAGs of one installation, driven by Airflow's API and checked in the ledger.

    A run is waited for as long as it moves, however long that takes.

    Args:
        api: of its Airflow.
        settings: of the installation.
        say: shows a line that stays to the person who waits.
    """

    def __init__(self, api: AirflowApi, settings: Settings, say: Show = _silent) -> None:
        self.api = api
        self.settings = settings
        self.say = say

    def unpause(self) -> None:
        """Let the scheduler run all DAGs, once it knows them."""
        for dag_id in (TRAIN, DAILY, FEEDBACK):
            known = partial(self.api.dag_is_known, dag_id)
            patience.until(known, dag_id, self.api.known_dags, POLL_SECONDS)
            patience.asked(partial(self.api.unpause, dag_id))

    def run(self, dag_id: str, as_of_date: date, show: Show) -> None:
        """Run a DAG for a day, or what failed of it, and wait; once it succeeded: do nothing.

        Raises:
            IntentError: a task failed; with its message and where its log is.
            TemporaryFailure: nothing has moved for long.
        """
        run_id = f"demo_{as_of_date.isoformat()}"
        conf = {"as_of_date": as_of_date.isoformat()}
        patience.asked(lambda: self.api.trigger(dag_id, run_id, conf))
        self._wait(
            lambda: self._has_succeeded(dag_id, run_id, show),
            f"{dag_id} {run_id}",
            lambda: [(dag_id, run_id)],
        )

    def backfill(self, days: list[date], show: Show) -> None:
        """Run the daily DAG for days that are not published yet, and wait for all of them.

        Raises:
            IntentError: a task failed; with its message and where its log is.
            TemporaryFailure: nothing has moved for long.
        """
        first, last = self._noon(min(days)), self._noon(max(days))
        begun, started = datetime.now(UTC), time.monotonic()
        half_a_day = timedelta(hours=12)
        accepted = False
        missing = days
        at_work: list[Json] = []

        def done() -> bool:
            nonlocal accepted, missing, at_work
            before, missing = missing, self.unpublished(days)
            published = f"{len(days) - len(missing)} of {len(days)} days"
            for day in before:
                if day not in missing:
                    seconds = time.monotonic() - started
                    self.say(f"{day} is published: {published}, in {seconds:.0f} s")
            if missing and not accepted:
                accepted = self.api.backfill(
                    DAILY,
                    first - half_a_day,
                    last + half_a_day,
                    at_once=self.settings.max_active_runs,
                )
            found = self.api.runs(DAILY)
            self._raise_for_failures(DAILY, found, since=begun)
            at_work = [run for run in found if run["state"] == "running"]
            show(
                "; ".join(
                    [f"{published} published", *map(self._day_at_work, at_work), *_usually(found)]
                )
            )
            return not missing

        self._wait(done, f"{DAILY} of {len(days)} days", lambda: _names(DAILY, at_work))

    def feedback(self, known_until: date, show: Show) -> None:
        """Wait until everything that matured by a day is measured and no run is under way."""
        begun = datetime.now(UTC)
        busy: list[Json] = []

        def done() -> bool:
            nonlocal busy
            found = self.api.runs(FEEDBACK)
            self._raise_for_failures(FEEDBACK, found, since=begun)
            busy = [run for run in found if run["state"] not in FINISHED]
            show(self._at_work(FEEDBACK, busy[0]["dag_run_id"]) if busy else "")
            measured = ledger.receipt_of(self.settings, "measure", known_until)
            return not busy and measured is not None

        self._wait(done, FEEDBACK, lambda: _names(FEEDBACK, busy))

    def unpublished(self, days: list[date]) -> list[date]:
        """Return those of the days that the ledger does not know as published."""
        return [d for d in days if ledger.receipt_of(self.settings, "publish", d) is None]

    def _wait(
        self, done: Callable[[], bool], what: str, of: Callable[[], list[tuple[str, str]]]
    ) -> None:
        what = f"{what} (see {self.api.address})"
        patience.until(done, what, lambda: self._sign(of()), POLL_SECONDS)

    def _sign(self, of: list[tuple[str, str]]) -> object:
        """Return what changes as long as some runs make progress.

        That is a state, or a log that grows. A task that runs is alive as long as the scheduler
        is, which fails tasks that show no sign of life.
        """
        tasks = [task for dag_id, run_id in of for task in self.api.tasks(dag_id, run_id)]
        states = [(t["task_id"], t.get("map_index"), t["try_number"], t["state"]) for t in tasks]
        runs_on = any(task["state"] == "running" for task in tasks)
        alive = self.api.heartbeat() if runs_on else None
        return of, states, alive, sum(_bytes_below(self._logs(*names)) for names in of)

    def _logs(self, dag_id: str, run_id: str) -> Path:
        logs = self.settings.home / "airflow" / "logs"
        return logs / f"dag_id={dag_id}" / f"run_id={run_id}"

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

    def _day_at_work(self, run: Json) -> str:
        """Return the day of a run of the daily DAG and which tasks of it run."""
        at = datetime.fromisoformat(run["logical_date"]) if run.get("logical_date") else None
        day = Definition(self.settings.time_zone).day_of(at) if at else run["dag_run_id"]
        return f"{day}: {self._at_work(DAILY, run['dag_run_id']) or 'about to begin'}"

    def _raise_for_failures(self, dag_id: str, found: Iterable[Json], since: datetime) -> None:
        for run in found:
            ended = run["end_date"] and datetime.fromisoformat(run["end_date"])
            if run["state"] == "failed" and ended and ended >= since:
                raise self._failure(dag_id, run["dag_run_id"])

    def _failure(self, dag_id: str, run_id: str) -> IntentError:
        failed = [task for task in self.api.tasks(dag_id, run_id) if task["state"] == "failed"]
        if not failed:
            return IntentError(f"The run {run_id} of {dag_id} failed: see {self.api.address}.")
        return IntentError(self._what_failed(failed[0]))

    def _what_failed(self, task: Json) -> str:
        lines = [line for line in self.api.log_lines(task) if line.strip()]
        said = next((line for line in reversed(lines) if _is_message(line)), "nothing")
        attempt = f"attempt={task['try_number']}.log"
        return (
            f"Task {task['task_id']} of {task['dag_id']} failed in run {task['dag_run_id']}. "
            f"It said: {said} (page: {self.api.page(task)}; log: "
            f"{self._logs(task['dag_id'], task['dag_run_id'])}/task_id={task['task_id']}/…/"
            f"{attempt})"
        )

    def _noon(self, day: date) -> datetime:
        # The daily schedule is early in the morning: a day on either side of noon is one run.
        return Definition(self.settings.time_zone).day_start(day) + timedelta(hours=12)


def _names(dag_id: str, found: Iterable[Json]) -> list[tuple[str, str]]:
    return [(dag_id, run["dag_run_id"]) for run in found]


def _usually(found: Iterable[Json]) -> list[str]:
    """Return how long the runs took that have succeeded, as a text; none: it is not known yet."""
    seconds = [
        (datetime.fromisoformat(run["end_date"]) - datetime.fromisoformat(run["start_date"]))
        for run in found
        if run["state"] == "success" and run.get("start_date") and run.get("end_date")
    ]
    if not seconds:
        return []
    usual = statistics.median(each.total_seconds() for each in seconds)
    return [f"a day usually takes {usual:.0f} s"]


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.log"))


def _is_message(line: str) -> bool:
    return line.startswith(("TemporaryFailure:", "Refused:", "BadInput:", "IntentError:")) or (
        "Error: " in line and not line.startswith(" ")
    )
