"""Times in ISO 8601 as programs write them."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from intent_tasks.formats import times

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
MORNING = datetime(2026, 6, 30, 10, tzinfo=UTC)  # in Paris it is noon then

OF_UTC = [
    "2026-06-30T12:00:00Z", "2026-06-30T12:00:00z", "2026-06-30t12:00:00z",
    "2026-06-30 12:00:00 UTC", "2026-06-30 12:00:00UTC", "2026-06-30 12:00:00 GMT",
    "2026-06-30T12:00:00,000Z", "2026-06-30 12:00:00.000 GMT", "2026-06-30T14:00:00+02:00",
]  # fmt: skip
OF_NO_ZONE = ["2026-06-30T12:00:00", "2026-06-30t12:00:00", "2026-06-30 12:00:00,000"]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris"])
@pytest.mark.parametrize("text", OF_UTC)
def test_a_time_that_names_utc_is_read_whatever_the_zone_of_others(text, zone):
    assert times.read_one(pa.array([text, None]), "iso", zone).to_pylist() == [NOON, None]


@pytest.mark.parametrize("text", OF_NO_ZONE)
def test_a_time_without_a_zone_is_of_the_zone_of_the_format(text):
    assert times.read_one(pa.array([text]), "iso", "UTC").to_pylist() == [NOON]
    assert times.read_one(pa.array([text]), "iso", "Europe/Paris").to_pylist() == [MORNING]


def test_unusual_times_are_read_beside_usual_ones_and_others_are_null():
    texts = [*OF_UTC, "12:00", "GMT", "2026-06-31T12:00:00z", "2026-06-30T12:00:00 CET"]
    found = times.read_one(pa.array(texts), "iso", "UTC").to_pylist()
    assert found == [NOON] * len(OF_UTC) + [None] * 4


OFFSETS = {
    "": None, "Z": 0, "z": 0, " Z": 0, " UTC": 0, "GMT": 0, "+02:00": 2, "+0200": 2, "+02": 2,
    "+2": 2, "+2:00": 2, " +02:00": 2, " +02": 2, "Z ": 0, "+02 ": 2,
    "-05:00": -5, "-0500": -5, "-05": -5,
}  # fmt: skip
"""Ends of times, and the hours of their offset; None: they name no zone."""


@pytest.mark.parametrize("day", ["2026-06-30", "20260630", "2026/06/30", "2026-6-30"])
@pytest.mark.parametrize("between", ["T", " ", "t"])
@pytest.mark.parametrize("clock", ["12", "12:00", "1200", "12:00:00", "120000", "12:00:00.000"])
def test_an_offset_counts_however_long_the_time_before_it(day, between, clock):
    texts = [f"{day}{between}{clock}{end}" for end in OFFSETS]
    for zone, hours in (("UTC", 0), ("Europe/Paris", 2)):
        found = times.read_one(pa.array(texts), "iso", zone).to_pylist()
        wrong = {
            text: (str(at), offset)
            for text, at, offset in zip(texts, found, OFFSETS.values(), strict=True)
            if at != NOON - timedelta(hours=hours if offset is None else offset)
        }
        assert wrong == {}


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris"])
def test_a_date_with_an_offset_is_midnight_there(zone):
    texts = pa.array(["2026-06-30Z", "20260630Z", "2026-06-30+02:00", "2026-06-30-05:00"])
    hours = [at.hour for at in times.read_one(texts, "iso", zone).to_pylist()]
    assert hours == [0, 0, 22, 5]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris"])
def test_a_month_or_a_year_is_no_time(zone):
    texts = pa.array(["2026", "2026-06", "2026 12", "2026/6", "202606", "2026-06-30"])
    found = times.read_one(texts, "iso", zone)
    assert found.is_valid().to_pylist() == [False] * 5 + [True]
