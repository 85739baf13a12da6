"""Rows of every kind of poison in 100,000: exactly those are set aside, each under its rule."""

from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sqlalchemy as sa

from intent_tasks.errors import Refused
from intent_tasks.formats.columns import SCHEMA
from intent_tasks.simulator import poison
from intent_tasks.stores import identity_keys, ledger, postgres, snapshots
from intent_tasks.stores.extracting import copy_days, day_builder, quarantine, spool

pytestmark = pytest.mark.database

DAY, ROWS = date(2026, 6, 30), 100_000
START = datetime(2026, 6, 30, tzinfo=UTC)

RULES = {
    "empty_customer_id": "customer_id is missing",
    "empty_event_id": "event_id is missing",
    "unknown_type": "event_type is unknown",
    "type_in_capitals": "event_type is unknown",
    "year_0001": "occurred_at is before 1990",
    "year_9999": "occurred_at is after 2100",
    "epoch": "occurred_at is before 1990",
    "infinite_time": "occurred_at is after 2100",
    "infinite_past": "occurred_at is before 1990",
    "future_clock": "occurred_at is after ingested_at",
    "huge_price": "price is above 1e+12",
    "negative_price": "price is below 0",
    "negative_quantity": "quantity is below 0",
    "greatest_quantity": "quantity is above 1e+06",
    "rating_of_99": "rating is above 5",
    "ten_megabytes_of_text": "review_text is longer than 100000 characters",
    "long_id": "product_id is longer than 1000 characters",
    "duplicate_id": "event_id comes twice with other content",
}
"""Kind of poison → the rule that it breaks."""

UNREADABLE = {"nan_price": "price", "infinite_price": "price"}
"""Kinds that cost their value only: it is null and counted."""

HARMLESS = {
    "sql_text": poison.CHANGES["sql_text"],
    "template_text": poison.CHANGES["template_text"],
    "script_text": poison.CHANGES["script_text"],
    "formula_text": poison.CHANGES["formula_text"],
    "right_to_left_text": poison.CHANGES["right_to_left_text"],
    "smile": {"query_text": "\U0001f600 '\"\\"},
}
"""Text that looks dangerous and is none: it goes in as it is."""

CHANGES = poison.CHANGES | {
    "empty_event_id": {"event_id": ""},
    "type_in_capitals": {"event_type": "VIEW"},
    "epoch": {"occurred_at": datetime(1970, 1, 1, tzinfo=UTC)},
    "huge_price": {"price": 1e300},
    "long_id": {"product_id": "p" * 2000},
    "future_clock": {"occurred_at": datetime(2027, 8, 1, tzinfo=UTC)},
    "duplicate_id": {"event_id": "e0000007"},
}
"""What each kind changes in a good row; times that Python has not are set in SQL."""


def good_rows():
    numbers = range(ROWS)
    seconds = pa.array([n * 800_000 for n in numbers], pa.duration("us"))
    at = pc.add(pa.scalar(START, pa.timestamp("us", tz="UTC")), seconds)
    columns = {
        "event_id": [f"e{n:07d}" for n in numbers],
        "customer_id": [f"c{n % 5000}" for n in numbers],
        "event_type": ["view"] * ROWS,
        "product_id": [f"p{n % 97}" for n in numbers],
        "price": [n % 100 + 0.5 for n in numbers],
        "occurred_at": at,
        "ingested_at": at,
    }
    made = {f.name: columns.get(f.name, pa.nulls(ROWS, f.type)) for f in SCHEMA}
    return pa.table(made, SCHEMA)


def odd_row(kind):
    base = {"event_id": f"x-{kind}", "customer_id": "c7", "event_type": "view"}
    at = datetime(2026, 6, 30, 23, tzinfo=UTC)
    return (
        base
        | {"occurred_at": at, "ingested_at": at, "channel": kind}
        | CHANGES.get(kind, HARMLESS.get(kind, {}))
    )


@pytest.fixture
def poisoned(settings):
    from intent_tasks.stores import simulated_shop

    kinds = [*RULES, *UNREADABLE, *HARMLESS]
    odd = pa.Table.from_pylist([odd_row(kind) for kind in kinds], SCHEMA)
    simulated_shop.load(settings, "a shop", "poison", [good_rows(), odd])
    with postgres.changing(settings.shop_owner_url, "test") as connection:
        for kind, at in (("infinite_time", "infinity"), ("infinite_past", "-infinity")):
            query = sa.text("UPDATE shop.events SET occurred_at = CAST(:at AS timestamptz) "
                            "WHERE channel = :kind")  # fmt: skip
            connection.execute(query, {"at": at, "kind": kind})
    return settings


def found(settings):
    with postgres.reading(settings.pipeline_url) as connection:
        return quarantine.find(connection, source=quarantine.arrivals_of(DAY))


def test_exactly_the_poison_is_set_aside_and_all_else_untouched(poisoned, monkeypatch):
    settings = poisoned
    copy_days.complete_snapshots(settings, DAY, DAY)
    rows = found(settings)
    by_kind = {r.payload["channel"]: r.rule for r in rows if r.replayable}
    assert len(rows) == len(RULES)
    cut = [r for r in rows if not r.replayable]
    assert [r.row_key for r in cut] == ["x-ten_megabytes_of_text"]
    by_kind["ten_megabytes_of_text"] = cut[0].rule
    assert by_kind == RULES
    assert len(cut[0].payload["begins"]) == quarantine.MOST_CHARACTERS
    key = identity_keys.keys(settings, ["c7"])[0].as_py()
    with postgres.reading(settings.pipeline_url) as connection:
        owners = connection.execute(
            sa.text("SELECT customer_key, count(*) FROM intent.quarantine GROUP BY 1 ORDER BY 2")
        ).all()
    assert owners == [(None, 1), (key, len(RULES) - 1)]
    receipt = ledger.receipt_of(settings, snapshots.STEP, DAY)
    assert receipt["rows_in_warehouse"] == ROWS + len(RULES) + len(UNREADABLE) + len(HARMLESS)
    assert receipt["rows_in_snapshot"] == ROWS + len(UNREADABLE) + len(HARMLESS)
    assert receipt["values_unreadable"] == {"price cannot be read": len(UNREADABLE)}
    known = snapshots.read(
        settings.home, settings.definition.__class__(history_days=1), DAY, range(2)
    )
    texts = {row["event_id"]: row for row in known.to_pylist() if row["event_id"][0] == "x"}
    assert {texts[f"x-{kind}"][column] for kind, column in UNREADABLE.items()} == {None}
    for kind, change in HARMLESS.items():
        for column, text in change.items():
            assert texts[f"x-{kind}"][column] == text
    expected = set(good_rows()["event_id"].to_pylist()) | set(texts)
    assert set(known["event_id"].to_pylist()) == expected
    assert len(known) == len(expected)

    # The same rows in other blocks and other parts give the same bytes.
    digest = receipt["digest"]
    monkeypatch.setattr(spool, "BYTES_AT_ONCE", 700_000)
    add = day_builder.DayBuilder.add
    monkeypatch.setattr(
        day_builder.DayBuilder,
        "add",
        lambda self, block: [
            add(self, block.slice(n, 30_011)) for n in reversed(range(0, len(block), 30_011))
        ],
    )
    (snapshots.day_folder(settings.home, DAY) / "manifest.json").unlink()
    copy_days.complete_snapshots(settings, DAY, DAY)
    assert ledger.receipt_of(settings, snapshots.STEP, DAY)["digest"] == digest
    assert [r._replace(found_at=None) for r in found(settings)] == [
        r._replace(found_at=None) for r in rows
    ]


def test_above_the_share_nothing_is_written(poisoned, monkeypatch):
    monkeypatch.setattr(day_builder, "LEAST_LIMIT", 0)
    strict = poisoned.model_copy(update={"quarantine_share": (len(RULES) - 1) / 100_100})
    with pytest.raises(Refused, match=f"{len(RULES)} of .* event_type is unknown: 2"):
        copy_days.complete_snapshots(strict, DAY, DAY)
    assert found(strict) == []
    assert snapshots.days(strict.home) == []
    assert ledger.receipt_of(strict, snapshots.STEP, DAY) is None
