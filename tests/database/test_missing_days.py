"""A shop day that was never predicted is named, with the command that predicts it."""

from datetime import UTC, date, datetime, timedelta

import pytest
from typer.testing import CliRunner

from intent_tasks.commands import days
from intent_tasks.errors import Refused
from intent_tasks.local import status
from intent_tasks.steps import run_step
from intent_tasks.stores import ledger
from intent_tasks.stores.missing_days import missing_days

pytestmark = pytest.mark.database

FIRST, LAST = date(2026, 6, 10), date(2026, 6, 20)
ALL = [FIRST + timedelta(days=n) for n in range(11)]


def done(settings, step, day, **receipt):
    ledger.finish_step(settings, step, day, receipt)


def publish(settings, days):
    for day in days:
        done(settings, "publish", day, rows=1)


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"last_day": None, "time_zone": "Europe/Berlin"})


def test_nothing_is_missing_before_the_first_day_is_published(settings):
    assert run_step(settings, "watch", LAST, {})["missing_days"] == 0


def test_nothing_is_missing_when_every_day_is_published(settings):
    publish(settings, ALL)
    assert run_step(settings, "watch", LAST, {})["missing_days"] == 0


def test_each_missing_day_is_named_with_the_command_that_predicts_it(settings):
    publish(settings, [d for d in ALL if d.day not in (13, 15, 16, 20)])
    with pytest.raises(Refused) as refused:
        run_step(settings, "watch", LAST, {})
    message = str(refused.value)
    assert message.startswith(
        "4 shop days were never predicted: 2026-06-13, 2026-06-15 to 2026-06-16, 2026-06-20."
    )
    assert (
        "`airflow backfill create --dag-id intent_daily --from-date 2026-06-14T22:00:00+00:00 "
        "--to-date 2026-06-16T21:59:59+00:00 --reprocess-behavior failed`" in message
    )


def test_a_day_without_events_is_missing_unless_such_days_are_skipped(settings):
    publish(settings, [d for d in ALL if d.day != 14])
    done(settings, "snapshot", date(2026, 6, 14), rows_in_warehouse=0)
    assert missing_days(settings, LAST) == [date(2026, 6, 14)]
    skipping = settings.model_copy(update={"empty_day": "skip"})
    assert missing_days(skipping, LAST) == []


def test_a_day_that_the_zone_leaves_out_is_not_missing(settings):
    moved = settings.model_copy(update={"time_zone": "Pacific/Apia"})
    publish(moved, [date(2011, 12, 29), date(2011, 12, 31)])
    assert missing_days(moved, date(2011, 12, 31)) == []


def test_status_refuses_when_a_day_is_missing(settings):
    yesterday = settings.definition.last_day_over(datetime.now(UTC))
    publish(settings, [yesterday - timedelta(days=2), yesterday])
    lines = []
    with pytest.raises(Refused, match=f"1 shop days were .*: {yesterday - timedelta(days=1)}"):
        status._print_missing_days(settings, lines.append)
    recording = settings.model_copy(update={"last_day": yesterday})
    status._print_missing_days(recording, lines.append)
    assert "never predicted" in lines[0]


def test_check_days_says_that_nothing_was_published_yet(settings, monkeypatch):
    monkeypatch.setattr(days, "load_settings", lambda: settings)
    monkeypatch.setattr(days, "last_day_over", lambda _: LAST)
    assert "Nothing was published yet" in CliRunner().invoke(days.app, ["check-days"]).output
    publish(settings, ALL)
    output = CliRunner().invoke(days.app, ["check-days"]).output
    assert output == "No shop day up to 2026-06-20 is missing.\n"
