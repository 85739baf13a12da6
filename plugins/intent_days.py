"""The shop day of a run, and the timetables of shop days."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import pendulum
from airflow.sdk import Asset, Context, Param
from airflow.sdk.exceptions import AirflowFailException
from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable
from airflow.timetables.trigger import CronTriggerTimetable
from intent_cron import Clock
from pendulum import DateTime

from intent_tasks.definition import Definition
from intent_tasks.settings import AirflowSettings

PREDICTIONS = Asset("intent.predictions")
"""Updated when a day is published; the event has the `as_of_date`."""


def day_param() -> Param:
    """Return the Param `as_of_date` of a DAG; empty: the day of the run."""
    return Param(
        None,
        type=["null", "string"],
        format="date",
        title="as_of_date",
        description="Shop day, YYYY-MM-DD. Empty: the day of the run, as described above.",
    )


def day_of_run(context: Context, jinja_env: object = None) -> str:
    """Return the Param, or the last shop day that was over when the run's interval ended.

    For a daily schedule that is the local date on which the interval started. A run without an
    interval counts from the time it was triggered. A recording never passes its last day.
    """
    if chosen_day := _day_param_of(context):
        return chosen_day
    settings = AirflowSettings()
    run = context["dag_run"]
    moment = run.data_interval_end or run.run_after
    day = Definition(settings.time_zone).last_day_over(moment)
    return min(day, settings.last_day or day).isoformat()


def newest_published_day(context: Context, jinja_env: object = None) -> str:
    """Return the Param, or the newest day among the publications that triggered the run.

    Raises:
        AirflowFailException: the run was started by hand without a day.
    """
    if chosen_day := _day_param_of(context):
        return chosen_day
    days = list(_published_days(context["triggering_asset_events"].values()))
    if not days:
        raise AirflowFailException(
            "No published day triggered this run. Trigger it with the Param as_of_date, "
            "the last shop day whose events have arrived."
        )
    return max(days)


def _day_param_of(context: Context) -> str | None:
    value = context["params"].get("as_of_date")
    try:
        return value and date.fromisoformat(value).isoformat()
    except (TypeError, ValueError):
        raise AirflowFailException(
            f"Param as_of_date is {value!r}; write a day as YYYY-MM-DD."
        ) from None


def _published_days(events_of_assets: Iterable[Iterable[Any]]) -> Iterable[str]:
    # An event that a person creates in the UI may have no day.
    return (
        event.extra["as_of_date"]
        for events in events_of_assets
        for event in events
        if "as_of_date" in event.extra
    )


class _DueTimes:
    """Due times of a cron expression for a timetable of Airflow, also when the clocks change.

    Airflow moves a skipped local time an hour later. If it parses the DAG within that hour, it
    continues with the next day, and the shop day never runs. The public methods of a timetable
    would have to repeat Airflow's catch-up rules, so two private methods of `CronMixin` are
    replaced.
    `tests/dags/test_days.py` fails when Airflow no longer calls them.
    """

    _clock: Clock

    @property
    def expression(self) -> str:
        """The cron expression."""
        return self._clock.expression

    def _get_next(self, current: DateTime) -> DateTime:
        return pendulum.instance(self._clock.following(current))

    def _get_prev(self, current: DateTime) -> DateTime:
        return pendulum.instance(self._clock.preceding(current))


class ShopDays(_DueTimes, CronDataIntervalTimetable):
    """A cron schedule with intervals, which ends with the last day of a recording.

    With one time a day, each shop day is one interval: from that time on the day to that time on
    the next day, when it runs. The `end_date` of a DAG is no alternative: a run that is started by
    hand after that date would wait forever.
    """

    def __init__(self, cron: str, timezone: str, last_day: date | None = None) -> None:
        super().__init__(cron, timezone)
        self._clock = Clock(self._expression, timezone)
        self._last_day = last_day

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """Return the next run, or None when its day is after the last one."""
        info = super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )
        return None if info is None or self._is_over(info.data_interval) else info

    def _is_over(self, interval: DataInterval | None) -> bool:
        if interval is None:
            return False
        day = Definition(self._clock.time_zone).last_day_over(interval.end)
        return self._last_day is not None and day > self._last_day

    def serialize(self) -> dict[str, Any]:
        """Return the arguments of the timetable, for the scheduler."""
        return {
            "expression": self.expression,
            "timezone": self._clock.time_zone,
            "last_day": self._last_day and self._last_day.isoformat(),
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "ShopDays":
        """Build the timetable from what `serialize` returned."""
        last_day = data["last_day"] and date.fromisoformat(data["last_day"])
        return cls(data["expression"], data["timezone"], last_day)


class ShopTimes(_DueTimes, CronTriggerTimetable):
    """A cron schedule without intervals.

    Args:
        cron: five fields of cron, read in the zone.
        timezone: IANA name of the shop's zone.
        before: cron of a later task; see `Clock`.
    """

    def __init__(self, cron: str, timezone: str, before: str = "") -> None:
        super().__init__(cron, timezone=timezone)
        self._clock = Clock(self._expression, timezone, before)

    def serialize(self) -> dict[str, Any]:
        """Return the arguments of the timetable, for the scheduler."""
        clock = self._clock
        return {
            "expression": clock.expression,
            "timezone": clock.time_zone,
            "before": clock.before,
        }

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> "ShopTimes":
        """Build the timetable from what `serialize` returned."""
        return cls(data["expression"], data["timezone"], data["before"])
