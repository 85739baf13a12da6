"""When days are due by the clocks of every zone, on nights of a change above all."""

import itertools
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from intent_cron import Clock

from intent_tasks.definition import Definition

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
FIRST, LAST = datetime(2015, 1, 1, tzinfo=UTC), datetime(2041, 1, 1, tzinfo=UTC)
DAILY = "30 2 * * *"
ZONES = sorted(zoneinfo.available_timezones() - {"Factory", "localtime"})


@cache
def changes(zone_name: str) -> tuple[date, ...]:
    """Return the days of 2015 to 2040 on which the clocks of a zone are changed."""
    zone = ZoneInfo(zone_name)
    step, found, at = timedelta(days=20), [], FIRST
    while at < LAST:
        if at.astimezone(zone).utcoffset() != (at + step).astimezone(zone).utcoffset():
            days = [at + n * DAY for n in range(step.days)]
            found += [d for d in days if offset(d, zone) != offset(d + DAY, zone)]
        at += step
    return tuple(d.astimezone(zone).date() for d in found)


def offset(at, zone):
    return at.astimezone(zone).utcoffset()


@cache
def different_zones() -> list[str]:
    """Return one zone of each history of changes: the others are other names of it."""
    seen = {}
    for name in ZONES:
        at = (changes(name), offset(FIRST, ZoneInfo(name)))
        seen.setdefault(at, name)
    return sorted(seen.values())


def ticks(clock: Clock, start: datetime, end: datetime) -> Iterator[datetime]:
    at = clock.following(start)
    while at < end:
        yield at
        at = clock.following(at)


def days_between(zone_name, start, end):
    """Return the shop days that begin in a time, those that the zone leaves out apart."""
    definition = Definition(zone_name)
    day = start.date() - 2 * DAY
    while day < end.date() + 2 * DAY:
        if definition.is_day(day) and start <= definition.day_start(day) < end:
            yield day
        day += DAY


def around(day):
    noon = datetime.combine(day, time(12), UTC)
    return noon - 1.5 * DAY, noon + 2.5 * DAY


def assert_each_day_once(zone_name, start, end, cron):
    definition, clock = Definition(zone_name), Clock(cron, zone_name)
    due = list(ticks(clock, definition.day_start(definition.day_of(start)) - MINUTE, end))
    over = [definition.last_day_over(at) for at in due]
    first, last = over[0], over[-1]
    expected = [d for d in days_between(zone_name, start - 4 * DAY, end) if first <= d <= last]
    assert over == expected, (zone_name, cron, start)
    for earlier, later in itertools.pairwise(due):
        assert clock.preceding(later) == earlier
        assert clock.following(later - MINUTE) == later
    return due


@pytest.mark.parametrize(("cron", "every"), [(DAILY, 4), ("0 0 * * *", 9), ("30 23 * * *", 9)])
def test_each_shop_day_is_due_once_around_every_change_of_every_zone(cron, every):
    for number, zone_name in enumerate(different_zones()):
        for day in changes(zone_name)[number % every :: every]:
            assert_each_day_once(zone_name, *around(day), cron)


@pytest.mark.parametrize(
    ("zone_name", "day"),
    [
        ("Pacific/Apia", date(2011, 12, 30)),  # left out
        ("Pacific/Kwajalein", date(1993, 8, 21)),  # left out
        ("Pacific/Kwajalein", date(1969, 9, 30)),  # came twice
        ("America/St_Johns", date(2010, 11, 7)),  # 00:01 is 23:01 of the day before
        ("America/Nuuk", date(2027, 3, 27)),  # its last hour is left out
        ("America/Sao_Paulo", date(2017, 10, 15)),  # begins at 01:00
        ("America/Toronto", date(1919, 3, 30)),  # 23:30 is 00:30 of the next day
        ("Australia/Lord_Howe", date(2027, 4, 4)),  # half an hour
        ("Antarctica/Troll", date(2027, 3, 28)),  # two hours
    ],
)
def test_each_shop_day_is_due_once_at_any_minute_of_peculiar_nights(zone_name, day):
    for minute in range(0, 24 * 60, 15):
        cron = f"{minute % 60} {minute // 60} * * *"
        assert_each_day_once(zone_name, *around(day), cron)


def test_a_day_that_the_zone_leaves_out_is_none():
    definition = Definition("Pacific/Apia")
    assert not definition.is_day(date(2011, 12, 30))
    morning = Clock("30 2 * * *", "Pacific/Apia").following(definition.day_end(date(2011, 12, 29)))
    assert definition.last_day_over(morning) == date(2011, 12, 29)
    assert definition.day_of(morning) == date(2011, 12, 31)


@given(
    zone_name=st.sampled_from(ZONES),
    days=st.integers(0, 25 * 365),
    minute=st.integers(0, 24 * 60 - 1),
)
def test_each_shop_day_is_due_once_at_any_time(zone_name, days, minute):
    start = FIRST + days * DAY
    cron = f"{minute % 60} {minute // 60} * * *"
    due = assert_each_day_once(zone_name, start, start + 5 * DAY, cron)
    assert len(due) >= 4
    for at in due:
        wall = at.astimezone(ZoneInfo(zone_name))
        exists = datetime.combine(wall.date(), time(minute // 60, minute % 60), wall.tzinfo)
        if exists.astimezone(UTC).astimezone(wall.tzinfo).time() == exists.time():
            assert (wall.hour * 60 + wall.minute, wall.second) == (minute, 0)


def test_before_and_after_whatever_is_due_at_any_moment():
    clock = Clock("30 2 * * *", "Europe/Berlin")
    skipped = datetime(2027, 3, 28, 1, tzinfo=UTC)  # 02:00 is 03:00
    for minute in range(24 * 60):
        at = datetime(2027, 3, 27, 12, tzinfo=UTC) + minute * MINUTE
        usual = datetime(2027, 3, 27, 1, 30, tzinfo=UTC)
        assert clock.preceding(at) == (skipped if at > skipped else usual)
        assert clock.following(at) == (skipped + 23.5 * timedelta(hours=1) if at >= skipped
                                       else skipped)  # fmt: skip


@pytest.mark.parametrize("cron", ["30 1 * * *", "0 1 * * *", "29 2 * * *", "0 0 * * *"])
def test_what_is_due_before_the_day_is_predicted_stays_so_in_every_zone(cron):
    usual = ticks_of_a_usual_day(cron)
    for zone_name in different_zones():
        before, daily = Clock(cron, zone_name, DAILY), Clock(DAILY, zone_name)
        for day in changes(zone_name)[::9]:
            start = Definition(zone_name).day_start(day - DAY)
            for at in ticks(daily, start, start + 3 * DAY):
                earlier = before.preceding(at)
                assert at - earlier >= usual, (zone_name, at)
                assert at - earlier <= usual + timedelta(hours=2), (zone_name, at)


def ticks_of_a_usual_day(cron):
    noon = datetime(2027, 6, 1, 12, tzinfo=UTC)
    return Clock(DAILY, "UTC").preceding(noon) - Clock(cron, "UTC").preceding(noon)


def test_what_is_due_later_or_several_times_a_day_has_no_one_to_be_before():
    for cron in ("0 5 * * *", "*/20 * * * *", "30 2 * * *"):
        night = datetime(2027, 3, 28, tzinfo=UTC)
        london = Clock(cron, "Europe/London", DAILY)
        assert london.following(night) == Clock(cron, "Europe/London").following(night)


def test_an_hourly_cron_is_due_once_at_a_time_that_the_clocks_skip():
    night = datetime(2027, 3, 28, tzinfo=UTC)
    due = list(ticks(Clock("30 * * * *", "Europe/Berlin"), night, night + timedelta(hours=4)))
    minutes = [(at - night) // MINUTE for at in due]
    assert minutes == [30, 60, 90, 150, 210]


def test_a_week_is_due_once_and_so_is_a_day_of_the_month():
    night = datetime(2027, 3, 26, tzinfo=UTC)
    sunday = Clock("30 2 * * 0", "Europe/Berlin")
    assert sunday.following(night) == datetime(2027, 3, 28, 1, tzinfo=UTC)
    assert sunday.following(datetime(2027, 3, 28, 1, tzinfo=UTC)).day == 4
    thirtieth = Clock("30 2 30 * *", "Pacific/Apia")
    assert thirtieth.following(datetime(2011, 12, 29, tzinfo=UTC)).month == 1
