"""Rows set aside are decided about, and the data is then as if they had always been right."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from intent_tasks import cli
from intent_tasks.commands import quarantine as commands
from intent_tasks.errors import BadInput, Refused
from intent_tasks.steps import extract, publish
from intent_tasks.stores import day_status, postgres, snapshots
from intent_tasks.stores.extracting import copy_days, day_builder, quarantine
from intent_tasks.stores.privacy import erasure
from tests.database.conftest import CUSTOMERS, DAY, add, event, pin, score

pytestmark = pytest.mark.database

NEXT = DAY + timedelta(days=1)


def digests(settings):
    """Return the digest of every snapshot: equal digests are equal bytes."""
    return {day: snapshots.digest(settings.home, [day]) for day in snapshots.days(settings.home)}


def set_aside(settings, **conditions):
    with postgres.reading(settings.pipeline_url) as connection:
        return quarantine.find(connection, **conditions)


def run_sql(settings, statement, url="shop_owner_url", **values):
    with postgres.changing(getattr(settings, url), "test") as connection:
        connection.execute(sa.text(statement), values)


@pytest.fixture
def shop_of_four_days(small_shop):
    return small_shop.model_copy(update={"history_days": 4})


@pytest.fixture
def run_command(shop_of_four_days, monkeypatch):
    """Run a command of `intent quarantine`; return its output."""
    monkeypatch.setattr(commands, "load_settings", lambda: shop_of_four_days)

    def run(*arguments):
        result = CliRunner().invoke(cli.app, ["quarantine", *arguments])
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.output

    return run


BAD = [
    ("price", {"price": -9.5}, {"price": 9.5}),
    ("type", {"kind": "fly"}, {"kind": "cart"}),
    ("twin", {"kind": "fly", "product_id": "p1"}, {"kind": "view", "product_id": "p1"}),
]


def rows_of(world):
    """Return three rows of one day, bad or as a clean world has them, and one good twin."""
    made = []
    for number, (name, bad, good) in enumerate(BAD):
        changes = bad if world == "bad" else good
        made.append(event(name, CUSTOMERS[number], DAY, **changes))
    twin = event("twin", CUSTOMERS[9], DAY, product_id="p2")
    return [*made, twin]


def clean_world(settings):
    """Return what a world has whose rows were right from the start; the shop is left as it was."""
    accepted = settings.model_copy(update={"home": settings.home / "clean"})
    add(settings, rows_of("good"))
    copy_days.complete_snapshots(accepted, DAY - timedelta(days=3), DAY)
    found = digests(accepted)
    with postgres.changing(settings.pipeline_url, "test") as connection:
        connection.execute(sa.text("DELETE FROM intent.runs"))
        connection.execute(sa.text("DELETE FROM intent.quarantine"))
    run_sql(settings, "DELETE FROM shop.events WHERE event_id NOT LIKE 'ecustomer%'")
    return found


def test_released_rows_give_the_bytes_of_a_world_that_was_always_clean(
    shop_of_four_days, run_command
):
    settings = shop_of_four_days
    clean = clean_world(settings)
    add(settings, rows_of("bad"))
    extract.run(settings, DAY)
    assert digests(settings) != clean
    for key, change in (("eprice", "price=9.5"), ("etype", "event_type=cart")):
        (row,) = [r for r in set_aside(settings, state="held") if r.row_key == key]
        output = run_command(
            "release", "--row", row.digest, "--set", change, "--reason", "typo", "--yes"
        )
        assert "1 rows went in" in output
    (row,) = set_aside(settings, state="held")
    run_command(
        "release", "--row", row.digest, "--set", "event_type=view", "--reason", "typo", "--yes"
    )
    assert digests(settings) == clean
    remaining = set_aside(settings, rule="event_id comes twice with other content")
    assert [r.state for r in remaining] == ["held"], "the twin is set aside as in a clean world"
    copy_days.complete_snapshots(settings, DAY, DAY)
    snapshots_lost = snapshots.day_folder(settings.home, DAY) / "manifest.json"
    snapshots_lost.unlink()
    extract.run(settings, DAY)
    assert digests(settings) == clean, "a decision holds whenever the day is copied"


def test_rows_corrected_in_the_warehouse_give_the_same_bytes(shop_of_four_days):
    settings = shop_of_four_days
    clean = clean_world(settings)
    add(settings, rows_of("bad"))
    extract.run(settings, DAY)
    run_sql(settings, "UPDATE shop.events SET price = 9.5 WHERE event_id = 'eprice'")
    run_sql(settings, "UPDATE shop.events SET event_type = 'cart' WHERE event_id = 'etype'")
    run_sql(settings, "UPDATE shop.events SET event_type = 'view' WHERE event_type = 'fly'")
    receipt = extract.run(settings, DAY)
    assert receipt["days_repaired"] == 1, "though there are as many rows as before"
    assert digests(settings) == clean
    assert [r.rule for r in set_aside(settings)] == ["event_id comes twice with other content"]


def test_a_row_is_accepted_as_it_is_and_can_be_dropped_again(shop_of_four_days, run_command):
    settings = shop_of_four_days
    add(settings, [event("odd", CUSTOMERS[0], DAY, price=2e12)])
    extract.run(settings, DAY)
    held = digests(settings)
    output = run_command("release", "--day", str(DAY), "--reason", "a yacht")
    assert "would go in" in output
    assert digests(settings) == held, "nothing happens without --yes"
    run_command("release", "--day", str(DAY), "--reason", "a yacht", "--yes")
    known = snapshots.read(settings.home, settings.definition, DAY, range(2)).to_pylist()
    assert [row["price"] for row in known if row["event_id"] == "eodd"] == [2e12]
    (row,) = set_aside(settings)
    assert (row.state, row.reason, row.correction) == ("released", "a yacht", None)
    run_command("drop", "--row", row.digest, "--reason", "no yacht", "--yes")
    assert digests(settings) == held
    assert [r.state for r in set_aside(settings)] == ["dropped"]


def test_rows_that_cannot_go_in_are_reported_and_nothing_is_changed(shop_of_four_days, run_command):
    settings = shop_of_four_days
    add(settings, [event("odd", CUSTOMERS[0], DAY, kind="fly")])
    extract.run(settings, DAY)
    assert "stays out: then event_type is unknown" in run_command(
        "release", "--day", str(DAY), "--reason", "x"
    )
    for change, error in (
        ([], "cannot go in: then event_type is unknown"),
        (["--set", "kind=view"], "corrects nothing"),
        (["--set", "price=much"], "price='much': that is no number"),
        (["--set", "ingested_at=2026-01-01"], "stays as it is"),
    ):
        with pytest.raises(BadInput, match=error):
            run_command("release", "--day", str(DAY), *change, "--reason", "x", "--yes")
    with pytest.raises(Refused, match="No row is set aside that fits"):
        run_command("drop", "--rule", "nonsense", "--reason", "x")
    with pytest.raises(BadInput, match="Say which rows"):
        run_command("drop", "--reason", "x")
    assert [r.state for r in set_aside(settings)] == ["held"]


def test_a_day_that_the_warehouse_no_longer_holds_is_not_copied_again(
    shop_of_four_days, run_command
):
    settings = shop_of_four_days
    add(settings, [event("odd", CUSTOMERS[0], DAY, kind="fly")])
    extract.run(settings, DAY)
    before = digests(settings)
    run_sql(settings, "DELETE FROM shop.events WHERE event_id LIKE 'ecustomer%'")
    with pytest.raises(Refused, match="would lose the others"):
        run_command(
            "release", "--day", str(DAY), "--set", "event_type=view", "--reason", "x", "--yes"
        )
    assert digests(settings) == before


def test_published_days_made_without_a_released_row_are_named(shop_of_four_days, run_command):
    settings = shop_of_four_days
    add(settings, [event("odd", CUSTOMERS[0], DAY, kind="fly")])
    for day in (DAY, NEXT):
        extract.run(settings, day)
        pin(settings, day)
        score(settings, day)
        publish.run(settings, day)
    output = run_command(
        "release", "--day", str(DAY), "--set", "event_type=view", "--reason", "x", "--yes"
    )
    assert f"than there are now: {DAY} to {NEXT}" in output
    score(settings, DAY, lambda customer: 0.3)
    publish.run(settings, DAY)
    assert day_status.stale_days(settings) == [NEXT]


def test_a_corrected_line_of_a_file_goes_to_the_shop_and_into_its_day(
    shop_of_four_days, run_command
):
    settings = shop_of_four_days
    extract.run(settings, DAY)
    line = event("line", CUSTOMERS[0], DAY, kind="fly") | {"extra": "\ud800"}
    bad = quarantine.BadRow(7, "event_type is unknown", json.dumps(line, default=str), "eline")
    with postgres.changing(settings.pipeline_url, "test") as connection:
        quarantine.replace(connection, "events.csv", [bad])
    output = run_command(
        "release", "--source", "events.csv", "--set", "event_type=view", "--reason", "x", "--yes"
    )
    assert "1 rows went in" in output
    known = snapshots.read(settings.home, settings.definition, DAY, range(2))
    assert "eline" in known["event_id"].to_pylist()
    assert [r.state for r in set_aside(settings)] == ["released"]


def test_a_payload_that_is_too_long_is_cut_and_marked(shop_of_four_days, run_command):
    settings = shop_of_four_days
    add(settings, [event("long", CUSTOMERS[0], DAY, review_text="very " * 30_000)])
    extract.run(settings, DAY)
    (row,) = set_aside(settings)
    assert not row.replayable
    assert row.payload["cut_after_characters"] == quarantine.MOST_CHARACTERS
    run_command(
        "release", "--row", row.digest, "--set", "review_text=very", "--reason", "x", "--yes"
    )
    known = snapshots.read(settings.home, settings.definition, DAY, range(2)).to_pylist()
    assert [r["review_text"] for r in known if r["event_id"] == "elong"] == ["very"]


def test_too_many_bad_rows_stop_the_day_and_leave_the_one_before(shop_of_four_days, monkeypatch):
    monkeypatch.setattr(day_builder, "LEAST_LIMIT", 2)
    settings = shop_of_four_days
    extract.run(settings, DAY)
    before = digests(settings)
    add(settings, [event(f"odd{n}", CUSTOMERS[0], NEXT, kind="fly") for n in range(3)])
    with pytest.raises(Refused, match="event_type is unknown: 3"):
        extract.run(settings, NEXT)
    assert digests(settings) == before
    assert set_aside(settings) == []
    lenient = settings.model_copy(update={"quarantine_share": 1.0})
    assert extract.run(lenient, NEXT)["rows_quarantined"] == 3


def test_a_day_with_unaccounted_rows_is_not_published(scored_shop):
    publish.run(scored_shop, DAY)
    with postgres.reading(scored_shop.analyst_url) as connection:
        query = sa.text("SELECT holds, rows_in_table FROM intent.conservation WHERE scored > 0")
        assert connection.execute(query).all() == [(True, len(CUSTOMERS))]
    score(scored_shop, DAY, lambda customer: 0.5)
    lose = "UPDATE intent.runs SET receipt = receipt || '{\"rows_in_snapshot\": 1}' WHERE step = "
    run_sql(scored_shop, f"{lose}'snapshot' AND as_of_date = :day", "pipeline_url", day=DAY)
    with pytest.raises(Refused, match=r"24 rows in the warehouse, but 1 in the snapshot"):
        publish.run(scored_shop, DAY)
    with postgres.reading(scored_shop.pipeline_url) as connection:
        probabilities = connection.scalars(
            sa.text("SELECT DISTINCT probability_7d FROM intent.predictions")
        )
        assert probabilities.all() == [0.25], "what was there stays"
    ((day, breach),) = day_status.breaches(scored_shop)
    assert day == DAY
    assert breach.startswith("24 rows")


@pytest.mark.parametrize(
    ("statement", "breach"),
    [
        ("DELETE FROM intent.predictions WHERE customer_id = 'customer 03'", "24 rows published"),
        (
            "UPDATE intent.runs SET receipt = receipt || '{\"population\": 99}' "
            "WHERE step = 'score' AND bucket = 0",
            "customers in the population",
        ),
    ],
)
def test_the_view_shows_lost_rows(scored_shop, statement, breach):
    publish.run(scored_shop, DAY)
    run_sql(scored_shop, statement, "pipeline_url")
    ((_, shown),) = day_status.breaches(scored_shop)
    assert breach in shown


def test_a_released_row_of_an_erased_customer_goes_with_them(shop_of_four_days, run_command):
    settings = shop_of_four_days
    add(settings, [event(n, CUSTOMERS[n], DAY, kind="fly") for n in range(2)])
    extract.run(settings, DAY)
    held = [row for row in set_aside(settings) if row.row_key == "e0"]
    change = ("--set", "event_type=view", "--set", f"customer_id={CUSTOMERS[2]}")
    run_command("release", "--row", held[0].digest, *change, "--reason", "x", "--yes")
    erasure.erase(settings, [CUSTOMERS[2]])
    assert [row.row_key for row in set_aside(settings)] == ["e1"]
    assert day_status.breaches(settings) == []
    erasure.erase(settings, [CUSTOMERS[1]])
    assert set_aside(settings) == []
    assert day_status.breaches(settings) == []


def test_of_two_rows_with_one_id_the_earlier_arrival_stays_however_they_are_read(shop_of_four_days):
    settings = shop_of_four_days
    early = event("x", CUSTOMERS[0], DAY)
    late = early | {"ingested_at": early["ingested_at"] + timedelta(hours=1), "price": 3.0}
    add(settings, [late, early])
    extract.run(settings, DAY)
    (row,) = set_aside(settings)
    assert row.rule == "event_id comes twice"
    assert row.payload["ingested_at"] == str(late["ingested_at"])
