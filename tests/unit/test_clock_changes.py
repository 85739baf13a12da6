"""Times without a zone around the moments at which clocks change."""

import zoneinfo
from datetime import date, datetime

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.definition import Definition
from intent_tasks.formats import times

NO_MIDNIGHT = {
    "America/Santiago": date(2025, 9, 7),
    "Africa/Cairo": date(2026, 4, 24),
    "America/Havana": date(2026, 3, 8),
    "Asia/Beirut": date(2026, 3, 29),
}
"""Zones, and days that begin at one o'clock there."""

TWO_MIDNIGHTS = {"America/Havana": date(2025, 11, 2), "Atlantic/Azores": date(2025, 10, 26)}
"""Zones, and days on which the hour from midnight to one o'clock occurs twice."""


def shop_days(instants, zone):
    """Return the shop day of each instant."""
    local = zoneinfo.ZoneInfo(zone)
    return [instant.astimezone(local).date() for instant in instants.to_pylist()]


@pytest.mark.parametrize("way", ["%Y-%m-%d", "%Y-%m-%d 00:30", "%Y-%m-%dT00:59:59.999999"])
@pytest.mark.parametrize(("zone", "day"), [*NO_MIDNIGHT.items(), *TWO_MIDNIGHTS.items()])
def test_a_time_of_a_day_without_a_midnight_or_with_two_is_of_that_day(zone, day, way):
    text = pa.array([f"{day:{way}}"])
    assert shop_days(times.read_one(text, "iso", zone), zone) == [day]


@pytest.mark.parametrize(("zone", "day"), NO_MIDNIGHT.items())
def test_a_date_in_a_pattern_or_of_type_date_is_of_that_day(zone, day):
    read = times.read_one(pa.array([f"{day:%d/%m/%Y}"]), "%d/%m/%Y", zone)
    assert shop_days(read, zone) == [day]
    for array in (pa.array([day]), pa.array([datetime.combine(day, datetime.min.time())])):
        assert shop_days(times.instants(array, zone), zone) == [day]


def test_a_date_is_the_beginning_of_its_shop_day_in_every_zone():
    days = np.arange(np.datetime64("2025-09-01"), np.datetime64("2026-05-01"))
    wrong = {}
    for zone in sorted(zoneinfo.available_timezones() - {"localtime", "Factory"}):
        read = times.instants(pa.array(days), zone).to_pylist()
        begins = map(Definition(time_zone=zone).day_start, days.tolist())
        if other := [str(at) for at, begin in zip(read, begins, strict=True) if at != begin]:
            wrong[zone] = other
    assert wrong == {}
