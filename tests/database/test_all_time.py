"""No row is lost between days, cuts of days, and what nobody looked at."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import pyarrow as pa
import pytest
import sqlalchemy as sa

from intent_tasks.errors import BadInput, Refused
from intent_tasks.formats import files
from intent_tasks.steps import extract
from intent_tasks.stores import day_status, ledger, postgres, simulated_shop, snapshots
from intent_tasks.stores.extracting import conservation, recut

pytestmark = pytest.mark.database

DAY = date(2026, 6, 20)
FIRST = datetime(2026, 6, 1, tzinfo=UTC)
HOURS = 24 * 25


@pytest.fixture
def settings(settings):
    """A shop in Berlin with an event an hour, of which a week is read."""
    settings = settings.model_copy(update={"history_days": 7, "time_zone": "Europe/Berlin"})
    rows = [event(f"{n}", FIRST + timedelta(hours=n, minutes=30)) for n in range(HOURS)]
    simulated_shop.load(settings, "a shop", "digest", [pa.Table.from_pylist(rows, files.SCHEMA)])
    return settings


def event(number, at, ingested_at=None):
    return {
        "event_id": f"e{number}",
        "customer_id": f"customer {number[-1:]}",
        "event_type": "view",
        "occurred_at": at,
        "ingested_at": ingested_at,
    }


def add(settings, *rows):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        postgres.copy_in(connection, "shop.events", pa.Table.from_pylist(rows, files.SCHEMA))


def run_sql(settings, statement):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.execute(sa.text(statement))


def known(settings):
    """Return the instants of all events in snapshots; each is in one only."""
    tables = [
        snapshots.read_file(settings.home, m, file)
        for m in snapshots.manifests(settings.home, snapshots.days(settings.home))
        for file in m["files"]
    ]
    found = sorted(at for table in tables for at in table["occurred_at"].to_pylist())
    assert all(a < b for a, b in pairwise(found)), "an event is in two snapshots"
    return found


def all_of(settings, time_zone, first, last):
    definition = settings.model_copy(update={"time_zone": time_zone}).definition
    hours = [FIRST + timedelta(hours=n, minutes=30) for n in range(HOURS)]
    return [h for h in hours if definition.day_start(first) <= h < definition.day_end(last)]


def test_snapshots_carry_the_zone_they_were_cut_by(settings):
    extract.run(settings, DAY)
    assert snapshots.manifest(settings.home, DAY)["time_zone"] == "Europe/Berlin"
    receipt = ledger.receipt_of(settings, snapshots.STEP, DAY)
    assert receipt["time_zone"] == "Europe/Berlin"


@pytest.mark.parametrize("time_zone", ["America/New_York", "Pacific/Auckland", "UTC"])
def test_another_zone_is_noticed_before_an_event_is_lost(settings, time_zone):
    extract.run(settings, DAY)
    moved = settings.model_copy(update={"time_zone": time_zone})
    with pytest.raises(BadInput, match=f"Europe/Berlin, and INTENT_TIME_ZONE is {time_zone}"):
        extract.run(moved, DAY + timedelta(days=1))
    with pytest.raises(BadInput, match="intent recut"):
        snapshots.read(settings.home, moved.definition, DAY, range(2))
    extract.run(settings, DAY + timedelta(days=1))

    assert recut.recut(moved)
    assert recut.recut(moved) == []
    for n in range(1, 4):
        extract.run(moved, DAY + timedelta(days=n))
    first = snapshots.days(settings.home)[0]
    last = DAY + timedelta(days=3)
    assert known(moved) == all_of(settings, time_zone, first, last)
    assert first <= DAY - timedelta(days=6)
    assert day_status.breaches(moved) == []


def test_another_name_of_the_zone_is_no_other_zone(settings):
    extract.run(settings, DAY)
    extract.run(settings.model_copy(update={"time_zone": "Europe/Stockholm"}), DAY)


def test_days_whose_rows_were_deleted_are_not_cut_again(settings):
    extract.run(settings, DAY)
    run_sql(settings, "DELETE FROM shop.events WHERE occurred_at < '2026-06-15'")
    moved = settings.model_copy(update={"time_zone": "America/New_York"})
    before = known(settings)
    with pytest.raises(Refused, match=r"fewer rows of 2026-06-14 to 2026-06-15 than were copied"):
        recut.recut(moved)
    assert known(settings) == before
    extract.run(settings, DAY)


def test_a_row_that_comes_in_later_than_days_are_compared_is_copied(settings):
    extract.run(settings, DAY)
    late = FIRST + timedelta(days=15, seconds=1)
    add(settings, event("late", late))
    receipt = extract.run(settings, DAY)
    assert receipt["days_repaired"] == 1
    assert late in known(settings)
    assert day_status.breaches(settings) == []


def test_a_row_that_comes_in_before_the_history_is_named(settings):
    extract.run(settings, DAY)
    add(settings, event("late", FIRST + timedelta(days=13, hours=12, seconds=1)))
    extract.run(settings, DAY + timedelta(days=1))
    ((day, breach),) = day_status.breaches(settings)
    assert day is None
    assert breach == (
        "1 rows that arrived on 2026-06-14 are in no snapshot: "
        "run `intent step extract --as-of-date 2026-06-14`"
    )
    extract.run(settings, date(2026, 6, 14))
    assert day_status.breaches(settings) == []


def test_a_row_without_a_time_and_rows_of_the_future_are_named_and_stop_no_day(settings):
    run_sql(settings, "ALTER TABLE shop.events ALTER COLUMN occurred_at DROP NOT NULL")
    soon = datetime.now(UTC) + timedelta(hours=1)
    add(
        settings,
        event("never", None),
        event("ahead", FIRST, datetime(2046, 6, 1, tzinfo=UTC)),
        event("soon", soon),
    )
    extract.run(settings, DAY)
    ((day, breach),) = day_status.breaches(settings)
    assert day is None
    assert "1 rows of shop.events have neither ingested_at nor occurred_at" in breach
    assert "1 rows of shop.events arrive in the future, the last one at 2046-06-01" in breach
    with postgres.reading(settings.pipeline_url) as connection:
        conservation.check(connection, DAY)


def test_all_rows_are_counted(settings):
    extract.run(settings, DAY)
    receipt = ledger.receipt_of(settings, "all_time", DAY)
    parts = ("of_days", "before", "later", "future", "without_time")
    assert receipt["rows"] == HOURS == sum(receipt[f"rows_{part}"] for part in parts)
    assert receipt["rows_of_days"] == 7 * 24
    query = "SELECT rows_in_warehouse, holds FROM intent.conservation WHERE as_of_date IS NULL"
    with postgres.reading(settings.analyst_url) as connection:
        assert connection.execute(sa.text(query)).one() == (HOURS, True)


def test_rows_that_the_shop_has_deleted_stay_in_their_snapshots(settings):
    extract.run(settings, DAY)
    run_sql(settings, "DELETE FROM shop.events WHERE occurred_at < '2026-06-16'")
    before = known(settings)
    extract.run(settings, DAY)
    assert known(settings) == before
    assert day_status.breaches(settings) == []
