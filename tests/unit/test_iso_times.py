"""Times in ISO 8601 as programs write them."""

from datetime import UTC, datetime

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
