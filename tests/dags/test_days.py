"""Which shop day a run is about."""

from datetime import UTC, date, datetime
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
from airflow.sdk.exceptions import AirflowFailException
from airflow.serialization.decoders import decode_timetable
from airflow.serialization.encoders import encode_timetable
from airflow.timetables.base import DataInterval, TimeRestriction
from intent_days import ShopDays, ShopTimes, day_of_run, newest_published_day
from pendulum import datetime as instant

AMSTERDAM = ZoneInfo("Europe/Amsterdam")


def context(end=None, run_after=None, as_of_date=None, events=()):
    return {
        "params": {"as_of_date": as_of_date},
        "dag_run": SimpleNamespace(data_interval_end=end, run_after=run_after),
        "triggering_asset_events": {"asset": [SimpleNamespace(extra=extra) for extra in events]},
    }


@pytest.fixture(autouse=True)
def shop(monkeypatch):
    monkeypatch.setenv("INTENT_TIME_ZONE", "Europe/Amsterdam")
    monkeypatch.delenv("INTENT_LAST_DAY", raising=False)


@pytest.mark.parametrize(
    ("morning", "day"),
    [
        (datetime(2026, 7, 1, 2, 30, tzinfo=AMSTERDAM), "2026-06-30"),
        (datetime(2026, 7, 1, 0, 30, tzinfo=UTC), "2026-06-30"),  # 02:30 local
        (datetime(2026, 6, 30, 22, 30, tzinfo=UTC), "2026-06-30"),  # 00:30 local, the next day
        (datetime(2026, 3, 29, 3, 30, tzinfo=AMSTERDAM), "2026-03-28"),  # clocks went forward
        (datetime(2026, 10, 25, 2, 30, tzinfo=AMSTERDAM), "2026-10-24"),  # clocks went back
    ],
)
def test_a_run_is_about_the_last_day_that_was_over_when_its_interval_ended(morning, day):
    assert day_of_run(context(end=morning)) == day


@pytest.mark.parametrize("month", [3, 7, 10])
def test_for_a_daily_schedule_that_is_the_local_date_of_the_start_of_the_interval(month):
    timetable = ShopDays("30 2 * * *", "Europe/Amsterdam")
    interval = None
    for _ in range(31):
        interval = timetable.next_dagrun_info(
            last_automated_data_interval=interval,
            restriction=TimeRestriction(instant(2026, month, 1), None, catchup=True),
        ).data_interval
        start = interval.start.astimezone(AMSTERDAM).date().isoformat()
        assert day_of_run(context(end=interval.end)) == start


def test_a_run_without_an_interval_counts_from_when_it_was_triggered():
    noon = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)
    assert day_of_run(context(run_after=noon)) == "2026-06-30"


def test_a_recording_never_passes_its_last_day(monkeypatch):
    monkeypatch.setenv("INTENT_LAST_DAY", "2015-09-18")
    assert day_of_run(context(end=datetime(2026, 7, 1, tzinfo=UTC))) == "2015-09-18"
    assert day_of_run(context(end=datetime(2015, 9, 11, 2, tzinfo=UTC))) == "2015-09-10"


def test_the_param_wins():
    assert day_of_run(context(as_of_date="2026-02-28")) == "2026-02-28"
    assert newest_published_day(context(as_of_date="2026-02-28")) == "2026-02-28"


@pytest.mark.parametrize("value", ["2026-02-30", "30.06.2026", "yesterday", 20260630])
def test_a_param_that_is_no_day_is_refused(value):
    with pytest.raises(AirflowFailException, match="write a day as YYYY-MM-DD"):
        day_of_run(context(as_of_date=value))


def test_feedback_takes_the_newest_of_the_published_days():
    days = [{"as_of_date": "2026-06-29"}, {}, {"as_of_date": "2026-06-30"}]
    assert newest_published_day(context(events=days)) == "2026-06-30"


@pytest.mark.parametrize("events", [[], [{}]])
def test_feedback_that_no_day_triggered_asks_for_one(events):
    with pytest.raises(AirflowFailException, match="Param as_of_date"):
        newest_published_day(context(events=events))


def next_run(timetable, earliest, *, catchup):
    return timetable.next_dagrun_info(
        last_automated_data_interval=None,
        restriction=TimeRestriction(earliest, None, catchup=catchup),
    )


@pytest.mark.parametrize(
    ("timetable", "earliest"),
    [
        (ShopDays("30 2 * * *", "Europe/Amsterdam"), instant(2026, 3, 28, 1)),
        (ShopTimes("30 2 * * *", "Europe/Amsterdam"), instant(2026, 3, 28, 2)),
    ],
)
def test_airflow_asks_our_timetables_for_the_due_times(timetable, earliest):
    run = next_run(timetable, earliest, catchup=True)
    assert run.run_after == instant(2026, 3, 29, 1), "the moment at which 02:30 is skipped"


def test_nothing_is_scheduled_after_the_last_day_of_a_recording():
    timetable = ShopDays("30 2 * * *", "UTC", date(2015, 9, 18))
    assert next_run(timetable, instant(2000, 1, 1), catchup=False) is None
    assert next_run(timetable, instant(2015, 9, 18, 2, 30), catchup=True) is not None
    assert next_run(timetable, instant(2015, 9, 19, 2, 30), catchup=True) is None


def test_a_shop_that_is_no_recording_is_scheduled():
    run = next_run(ShopDays("30 2 * * *", "UTC"), instant(2000, 1, 1), catchup=False)
    assert isinstance(run.data_interval, DataInterval)


@pytest.mark.parametrize("last_day", [None, date(2015, 9, 18)])
def test_the_scheduler_builds_the_same_timetable(last_day):
    timetable = ShopDays("30 2 * * *", "Europe/Amsterdam", last_day)
    decoded = decode_timetable(encode_timetable(timetable))
    assert isinstance(decoded, ShopDays)
    assert decoded.serialize() == timetable.serialize()
