"""Exports that put an order into several rows, or an object into a text."""

import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.core.rules import CHANGED_DUPLICATE
from intent_tasks.errors import BadInput
from intent_tasks.formats import blocks, files, mapping
from intent_tasks.formats.replay import read_row
from tests.unit.own_format import layout, lines

ORDERS = {
    "customer_id": "customer",
    "event_type": {"constant": "purchase"},
    "product_id": "sku",
    "occurred_at": {"field": "placed", "time": "iso"},
}
FILL = {"by": "order", "fields": ["customer", "placed"]}
HEADER = "order,customer,placed,sku\n"


def read(tmp_path, text, events=ORDERS, fill=FILL, **more):
    """Return the batches of a file of orders as one table, and the rows that are set aside."""
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + text)
    batches = list(files.read(path, layout(tmp_path, events, fill_down=fill, **more)))
    table = pa.concat_tables([batch.events for batch in batches])
    return table, [(row.number, row.rule) for batch in batches for row in batch.bad]


def sold(table):
    """Return who bought what."""
    return list(zip(*(table[n].to_pylist() for n in ("customer_id", "product_id")), strict=True))


@pytest.mark.parametrize("named", [False, True], ids=["on its first row", "on each row"])
@pytest.mark.parametrize("block", [40, 1 << 20], ids=["small blocks", "one block"])
def test_cells_of_an_order_on_its_first_row_hold_for_all_of_it(tmp_path, monkeypatch, named, block):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    text = "".join(
        f"{n},c{n},2026-11-20,A\n" + f"{n if named else ''},,,B\n" * (n % 4) for n in range(9)
    )
    table, bad = read(tmp_path, text, ORDERS | {"event_id": "order"})
    expected = [(f"c{n}", sku) for n in range(9) for sku in ["A", *"B" * (n % 4)]]
    assert (sold(table), bad) == (expected, [])
    ids = [f"{n}/{place}" if place else f"{n}" for n in range(9) for place in range(1 + n % 4)]
    assert table["event_id"].to_pylist() == ids


def test_a_guest_is_not_taken_for_the_customer_of_the_order_above(tmp_path):
    table, bad = read(tmp_path, "1,c1,2026-11-20,A\n2,,2026-11-20,A\n,,,B\n3,c3,2026-11-20,A\n")
    assert sold(table) == [("c1", "A"), ("c3", "A")]
    assert bad == [(3, "customer_id is missing"), (4, "customer_id is missing")]


def test_rows_after_a_line_that_is_none_are_of_no_order(tmp_path):
    table, bad = read(tmp_path, "1,c1,2026-11-20,A\n2,c2\n,,,B\n,,,C\n3,c3,2026-11-20,A\n,,,B\n")
    assert sold(table) == [("c1", "A"), ("c3", "A"), ("c3", "B")]
    assert [number for number, _ in bad] == [3, 4, 5]


def test_an_order_that_comes_again_with_another_line_stays_as_it_was(tmp_path):
    one, two, other = "1,c1,2026-11-20,A\n,,,B\n", "2,c2,2026-11-20,A\n", "3,c3,2026-11-20,A\n"
    text = f"{one}{two}{one},,,C\n{two}{other}"
    table, bad = read(tmp_path, text, ORDERS | {"event_id": "order"})
    assert table["event_id"].to_pylist() == ["1", "1/1", "2", "3"]
    assert bad == [(number, CHANGED_DUPLICATE) for number in (5, 6, 7)]


def test_a_row_of_an_order_that_was_set_aside_is_read_again_by_itself(tmp_path):
    path = tmp_path / "orders.csv"
    path.write_text(HEADER + "1,c1,2026-11-20,A\n,,,B\0\n")
    name = layout(tmp_path, ORDERS | {"event_id": "order"}, fill_down=FILL)
    [batch] = files.read(path, name)
    [bad] = batch.bad
    correction = {"product_id": "B"}
    second = read_row(json.loads(bad.payload), bad.number, mapping.load(name), "f", correction)
    assert second.events["event_id"].to_pylist() == ["1/1"]
    assert sold(second.events) == [("c1", "B")]


def test_a_field_that_names_no_order_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 5)
    text = "1,c1,2026-11-20,A\n" * 20
    with pytest.raises(BadInput, match=r"more than 5 rows in one order, by the field order"):
        read(tmp_path, text)
    with pytest.raises(BadInput, match=r"it lacks number"):
        read(tmp_path, text, fill=FILL | {"by": "number"})
    with pytest.raises(BadInput, match=r"by each or by fill_down, not both"):
        read(tmp_path, text, each="sku")


def test_orders_of_shopify(tmp_path):
    path = tmp_path / "orders_export.csv"
    path.write_text(
        "Name,Email,Created at,Currency,Lineitem quantity,Lineitem name,Lineitem price,"
        "Lineitem sku,Lineitem discount,Vendor,Source\n"
        "#1001,a@b.example,2026-11-20 10:00:00 +0100,EUR,2,Mug,10.00,M1,3.00,Acme,web\n"
        "#1001,,,,1,Cup,5.00,,0.00,Acme,\n"
        "#1002,c@d.example,2026-11-20 11:00:00 +0100,EUR,1,Mug,10.00,M1,0.00,Acme,pos\n"
    )
    table = pa.concat_tables([batch.events for batch in files.read(path, "shopify")])
    columns = ("event_id", "customer_id", "product_id", "quantity", "price", "currency")
    assert [tuple(row.values()) for row in table.select(columns).to_pylist()] == [
        ("#1001", "a@b.example", "M1", 2, 8.5, "EUR"),
        ("#1001/1", "a@b.example", "Cup", 1, 5.0, "EUR"),
        ("#1002", "c@d.example", "M1", 1, 10.0, "EUR"),
    ]
    assert table["occurred_at"][0].as_py() == datetime(2026, 11, 20, 9, tzinfo=UTC)


def posted(number, properties, event="Product Viewed"):
    """Return an event of PostHog."""
    return {"uuid": f"e{number}", "event": event, "distinct_id": "u1",
            "timestamp": "2026-11-20T10:00:00Z", "properties": properties}  # fmt: skip


VIEWED = {"product_id": "A1", "price": 9.5, "name": 'a "mug"\n', "$device_type": "Mobile"}
ORDERED = {
    "products": [{"sku": "A1", "price": "2"}, {"sku": "B2", "price": "3 €"}],
    "currency": None,
}


@pytest.mark.parametrize("end", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("as_text", [True, False], ids=["text", "object"])
def test_properties_may_be_an_object_or_a_text_that_holds_one(tmp_path, end, as_text):
    write = json.dumps if as_text or end == "csv" else dict
    rows = [posted(1, write(VIEWED)), posted(2, write(ORDERED), "Order Completed"),
            posted(3, write({}), "$pageview")]  # fmt: skip
    path = tmp_path / f"events.{end}"
    if end == "jsonl":
        lines(path, rows)
    elif end == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        cells = ['"' + row["properties"].replace('"', '""') + '"' for row in rows]
        rest = [",".join(list(row.values())[:-1]) for row in rows]
        body = "\n".join(f"{r},{c}" for r, c in zip(rest, cells, strict=True))
        path.write_text(f"uuid,event,distinct_id,timestamp,properties\n{body}\n")
    [batch] = files.read(path, "posthog")
    columns = ("event_id", "event_type", "product_id", "price", "currency", "device")
    assert [tuple(row.values()) for row in batch.events.select(columns).to_pylist()] == [
        ("e1", "view", "A1", 9.5, None, "Mobile"),
        ("e2", "purchase", "A1", 2, None, None),
        ("e2/1", "purchase", "B2", 3, "EUR", None),
    ]
    assert (batch.ignored, batch.bad) == (1, [])


@pytest.mark.parametrize("broken", ["{", "[1]", '"A1"', "7", "A1", '{"a": 1}, "b": {'])
@pytest.mark.parametrize("before", [0, 60])
def test_a_text_that_holds_no_object_sets_its_row_aside(tmp_path, broken, before):
    good = [posted(n, json.dumps(VIEWED)) for n in range(1, before + 1)]
    rows = [*good, posted(99, broken), posted(100, json.dumps(VIEWED)), posted(101, "null")]
    [batch] = files.read(lines(tmp_path / "events.jsonl", rows), "posthog")
    assert batch.events.num_rows == before + 2
    assert [row.number for row in batch.bad] == [before + 1]
    assert "properties" in batch.bad[0].rule
    assert json.loads(batch.bad[0].payload)["properties"] == broken
