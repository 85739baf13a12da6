"""Rows that a format takes for no events by their values: cancelled and refunded orders."""

import json
from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.errors import BadInput
from intent_tasks.formats import files, mapping
from tests.unit.own_format import PLAIN, layout, lines, view

SHOPIFY = (
    "Name,Email,Financial Status,Created at,Cancelled at,Lineitem quantity,Lineitem name,"
    "Lineitem price\n"
)


def shopify_rows(name, status, cancelled=""):
    """Return an order with two products, its cells on its first row only."""
    first = f"{name},a@b.example,{status},2026-11-20 10:00:00 +0100,{cancelled},1,Mug,10.00\n"
    return f"{first}{name},,,,,1,Cup,5.00\n"


def read(path):
    """Return the events of an export of Shopify, what is skipped by rule, and other counts."""
    batches = list(files.read(path, "shopify"))
    ids = [name for batch in batches for name in batch.events["event_id"].to_pylist()]
    skipped = sum((batch.skipped for batch in batches), Counter())
    bad = [row for batch in batches for row in (*batch.bad, *batch.unreadable)]
    return ids, skipped, sum(b.ignored for b in batches), sum(b.judged for b in batches), bad


def test_cancelled_voided_and_refunded_orders_of_shopify_are_no_purchases(tmp_path):
    path = tmp_path / "orders_export.csv"
    path.write_text(
        SHOPIFY
        + shopify_rows("#1", "paid")
        + shopify_rows("#2", "refunded")
        + shopify_rows("#3", "Voided ")
        + shopify_rows("#4", "paid", "2026-11-21 09:00:00 +0100")
        + shopify_rows("#5", "partially_refunded")
        + shopify_rows("#6", "pending")
    )
    ids, skipped, ignored, judged, bad = read(path)
    assert ids == [f"#{n}{part}" for n in (1, 5, 6) for part in ("", "/1")]
    assert skipped == {"Financial Status is voided or refunded": 4, "Cancelled at is given": 2}
    assert (ignored, judged, bad) == (6, 6, [])


def test_an_order_that_is_skipped_is_not_set_aside_whatever_else_is_wrong(tmp_path):
    path = tmp_path / "orders_export.csv"
    path.write_text(SHOPIFY + "#1,,voided,yesterday,,x,,y\n" + shopify_rows("#2", "paid"))
    ids, _, ignored, judged, bad = read(path)
    assert (ids, ignored, judged, bad) == (["#2", "#2/1"], 1, 2, [])


SKIP = [{"field": "state.now", "values": ["cancelled", "test"]}, {"field": "deleted"}]
STATES = [
    ({}, None),
    ({"state": {"now": "done"}}, None),
    ({"state": {"now": " Cancelled"}}, "state.now is cancelled or test"),
    ({"state": {"now": "test"}, "deleted": True}, "state.now is cancelled or test"),
    ({"deleted": "2026-07-01"}, "deleted is given"),
    ({"deleted": "NULL"}, None),
]


@pytest.mark.parametrize("end", ["jsonl", "parquet"])
def test_skip_leaves_out_rows_that_meet_a_condition(tmp_path, end):
    rows = [view(item=f"p{n}", **state) for n, (state, _) in enumerate(STATES)]
    path = tmp_path / f"events.{end}"
    if end == "parquet":
        texts = [{"state": None} | row | {"deleted": str(row.get("deleted", ""))} for row in rows]
        pq.write_table(pa.Table.from_pylist(texts), path)
    else:
        lines(path, rows)
    [batch] = files.read(path, layout(tmp_path, PLAIN, skip=SKIP, missing=["null"]))
    expected = [f"p{n}" for n, (_, rule) in enumerate(STATES) if rule is None]
    assert batch.events["product_id"].to_pylist() == expected
    rules = [rule for _, rule in STATES if rule]
    assert batch.skipped == {rule: rules.count(rule) for rule in rules}
    assert (batch.ignored, batch.bad) == (3, [])


def test_only_leaves_out_rows_that_do_not_meet_all_conditions(tmp_path):
    only = [{"field": "status", "values": ["paid", "shipped"]}, {"field": "live"}]
    states = [("paid", 1), ("PAID", None), ("shipped", 0), ("open", 1), (None, 1)]
    rows = [view(item=f"p{n}", status=s, live=live) for n, (s, live) in enumerate(states)]
    path = lines(tmp_path / "events.jsonl", rows)
    [batch] = files.read(path, layout(tmp_path, PLAIN, only=only))
    assert batch.events["product_id"].to_pylist() == ["p0", "p2"]
    assert batch.skipped == {"not: status is paid or shipped": 2, "not: live is given": 1}


def test_a_line_of_an_order_can_be_skipped(tmp_path):
    events = PLAIN | {"product_id": "lines.sku", "event_id": "id"}
    parts = [{"sku": "A", "state": "ok"}, {"sku": "B", "state": "returned"}, {"sku": "C"}]
    path = lines(tmp_path / "events.jsonl", [view(id="o1", lines=parts)])
    name = layout(
        tmp_path, events, each="lines", skip=[{"field": "lines.state", "values": ["returned"]}]
    )
    [batch] = files.read(path, name)
    assert batch.events["event_id"].to_pylist() == ["o1", "o1/2"]
    assert (batch.ignored, batch.judged) == (1, 1)


def test_a_file_without_the_field_of_a_condition_is_named(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text("user.id,item,price,at\nu1,A,1,2026-06-30\n")
    [batch] = files.read(path, layout(tmp_path, PLAIN, skip=SKIP))
    assert (batch.events.num_rows, batch.absent) == (1, ["state.now", "deleted"])
    path.write_text("user.id,item,price,at,deleted\nu1,A,1,2026-06-30,\n")
    [batch] = files.read(path, layout(tmp_path, PLAIN, skip=SKIP[1:]))
    assert (batch.events.num_rows, batch.absent) == (1, [])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('skip = [{ field = "a", values = [""] }]\nevents = {}', "an empty text is no value"),
        ('skip = [{ values = ["x"] }]\nevents = {}', "skip.1.field: is missing"),
        (
            'only = [{ field = "a" }]\ncustomers = { customer_id = "a" }',
            "skip and only are for files of events",
        ),
    ],
)
def test_mistakes_in_conditions_are_named(tmp_path, text, message):
    path = tmp_path / "ours.toml"
    path.write_text(f'about = "Ours."\n[[shapes]]\n{text}\n')
    with pytest.raises(BadInput, match=message):
        mapping.load(str(path))


def test_a_row_that_is_set_aside_keeps_the_fields_of_conditions(tmp_path):
    name = layout(tmp_path, PLAIN, skip=SKIP)
    rows = [view(), view(user={}, deleted=""), view(user={}, deleted="x")]
    [batch] = files.read(lines(tmp_path / "events.jsonl", rows), name)
    assert [json.loads(row.payload)["deleted"] for row in batch.bad] == [""]


def test_the_rule_of_a_condition_is_short(tmp_path):
    values = [f"state {n}" for n in range(500)]
    name = layout(tmp_path, PLAIN, skip=[{"field": "state", "values": values}])
    [batch] = files.read(lines(tmp_path / "a.jsonl", [view(state="state 499"), view()]), name)
    first = " or ".join(values[:5])
    assert batch.skipped == {f"state is {first} or others": 1}
