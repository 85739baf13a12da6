"""Work is done for shop days that have ended."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace

import pytest

from intent_tasks.commands.arguments import day
from intent_tasks.definition import Definition
from intent_tasks.errors import BadInput, Refused
from intent_tasks.steps import STEPS, last_day_over, require_over, run_step

NOW = datetime(2026, 7, 1, 3, 59, tzinfo=UTC)
"""One minute before the midnight that ends 2026-06-30 in New York."""


def shop(time_zone="America/New_York", last_day=None):
    definition = Definition(time_zone)
    return SimpleNamespace(definition=definition, time_zone=time_zone, last_day=last_day)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("as_of_date", [date.max, date.min, date(2646, 1, 1), date(1969, 12, 31)])
def test_no_step_works_on_a_day_that_has_not_come_or_that_no_shop_can_have(step, as_of_date):
    with pytest.raises(Refused, match=f"{as_of_date} is no"):
        run_step(shop(), step, as_of_date, {})


def test_a_day_is_over_when_the_midnight_of_the_shop_has_come():
    with pytest.raises(Refused, match=r"2026-06-30 is not over.*is 2026-06-29.*America/New_York"):
        require_over(shop(), date(2026, 6, 30), NOW)
    require_over(shop(), date(2026, 6, 30), NOW + timedelta(minutes=1))
    require_over(shop("Europe/Berlin"), date(2026, 6, 30), NOW)


def test_the_days_of_a_recording_are_over_whatever_the_date_is():
    recording = shop(last_day=date(2030, 1, 5))
    assert last_day_over(recording, NOW) == date(2030, 1, 5)
    require_over(recording, date(2030, 1, 5), NOW)
    with pytest.raises(Refused, match="2030-01-06 is not over"):
        require_over(recording, date(2030, 1, 6), NOW)


def test_days_after_a_recording_that_are_over_by_the_calendar_may_be_asked_for():
    require_over(shop(last_day=date(2015, 9, 18)), date(2015, 9, 30), NOW)


@pytest.mark.parametrize("text", ["9999-12-31", "0001-01-01", "3000-01-01", "1969-12-31"])
def test_a_day_that_no_shop_can_have_is_refused_where_it_is_read(text):
    with pytest.raises(BadInput, match=f"{text} is no shop day; write one from 1970-01-01"):
        day(text)


@pytest.mark.parametrize("text", ["2026-02-30", "30.06.2026", "", "2026-6-3x", "\0"])
def test_what_is_no_day_is_refused_where_it_is_read(text):
    with pytest.raises(BadInput, match="write it as YYYY-MM-DD"):
        day(text)
