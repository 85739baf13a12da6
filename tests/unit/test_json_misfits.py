"""A JSON value of another kind than that of the format is lost, but never the event."""

import json

import pytest

from intent_tasks.formats import files, table_files
from tests.unit.own_format import PLAIN, layout, lines, view

ORDER = {
    "type": "track",
    "event": "Order Completed",
    "messageId": "m1",
    "userId": "u1",
    "timestamp": "2026-06-30T12:00:00Z",
}


def segment(tmp_path, properties, before=0):
    usual = [ORDER | {"messageId": f"b{n}", "properties": {}} for n in range(before)]
    path = lines(tmp_path / "log.json", [*usual, ORDER | {"properties": properties}])
    [batch] = files.read(path, "segment")
    return batch


def bought(batch, *columns):
    found = batch.events.select(["event_id", *columns]).to_pylist()
    return [tuple(row.values()) for row in found if row["event_id"].startswith("m1")]


OTHER_KINDS = [[1, 2], [{"a": 1}], [[1]], {}, {"a": 1}, {"a": {"b": [1]}}]


@pytest.mark.parametrize("value", OTHER_KINDS, ids=json.dumps)
@pytest.mark.parametrize(
    "column", ["product_id", "price", "quantity", "rating", "query_text", "channel", "ingested_at"]
)
@pytest.mark.parametrize("before", [0, 60], ids=["first", "after a sample"])
def test_another_kind_of_value_in_a_column_that_may_be_null(tmp_path, column, value, before):
    row = {
        "event_id": "e",
        "customer_id": "c",
        "event_type": "view",
        "occurred_at": "2026-06-30T12:00:00Z",
    }
    rows = [row | {"event_id": f"b{n}", column: None} for n in range(before)]
    path = lines(tmp_path / "events.jsonl", [*rows, row | {column: value}, row | {"event_id": "f"}])
    [batch] = files.read(path, "native")
    assert batch.bad == []
    assert batch.events.num_rows == before + 2
    assert batch.events[column].null_count == before + 2
    assert batch.unreadable == [(column, 1, 1, before + 1)]


@pytest.mark.parametrize("value", OTHER_KINDS, ids=json.dumps)
@pytest.mark.parametrize("column", ["event_id", "customer_id", "event_type", "occurred_at"])
def test_another_kind_of_value_in_a_column_that_every_event_needs(tmp_path, column, value):
    row = {
        "event_id": "e",
        "customer_id": "c",
        "event_type": "view",
        "occurred_at": "2026-06-30T12:00:00Z",
    }
    path = lines(tmp_path / "events.jsonl", [row | {column: value}, row | {"event_id": "f"}])
    [batch] = files.read(path, "native")
    assert batch.events["event_id"].to_pylist() == ["f"]
    [bad] = batch.bad
    kind = "a list" if isinstance(value, list) else "an object"
    assert bad.rule.startswith(f"the field {column} is {kind}")
    assert json.loads(bad.payload)[column] == value


def test_an_event_that_is_named_by_another_field_needs_not_the_first(tmp_path):
    own = layout(tmp_path, PLAIN | {"customer_id": {"fields": ["user.id", "cookie"]}})
    rows = [view(user=["u1"], cookie="k"), view(user={"id": ["u1"]}, cookie="k")]
    [batch] = files.read(lines(tmp_path / "log.json", rows), own)
    assert batch.bad == []
    assert batch.events["customer_id"].to_pylist() == ["k", "k"]


@pytest.mark.parametrize("before", [0, 60], ids=["first", "after a sample"])
def test_a_list_that_php_wrote_as_an_object(tmp_path, before):
    products = [{"product_id": "p1", "price": 5}, {"product_id": "p2", "price": 7}]
    as_object = {str(place): product for place, product in enumerate(products)}
    batch = segment(tmp_path, {"products": as_object}, before)
    assert bought(batch, "product_id", "price") == [("m1", "p1", 5.0), ("m1/1", "p2", 7.0)]
    assert batch.unreadable == []


@pytest.mark.parametrize(
    ("products", "expected"),
    [
        ([None, {"product_id": "p"}], [("m1", "p")]),
        ([{"product_id": "p"}, None], [("m1", "p")]),
        ([{"product_id": "p"}, None, {"product_id": "q"}], [("m1", "p"), ("m1/1", "q")]),
        ([None, None], [("m1", None)]),
        ([], [("m1", None)]),
        (None, [("m1", None)]),
    ],
)
@pytest.mark.parametrize("mixed", [False, True], ids=["at once", "line by line"])
def test_a_null_in_a_list_is_no_line_of_an_order(tmp_path, products, expected, mixed):
    batch = segment(tmp_path, {"products": products, **({"value": {}} if mixed else {})})
    assert bought(batch, "product_id") == expected
    assert batch.bad == []


def test_products_that_are_no_list_of_objects_cost_the_products_only(tmp_path):
    for products in ("p1, p2", 7, ["p1", "p2"], {"p1": 2}):
        batch = segment(tmp_path, {"products": products})
        assert batch.bad == []
        assert {row[1] for row in bought(batch, "product_id")} == {None}


@pytest.mark.parametrize("text", ['{"id": ["u"]}', '{"id": {"a": 1}}'])
def test_a_value_of_another_kind_inside_a_text_costs_the_value_only(tmp_path, text):
    own = layout(tmp_path, PLAIN | {"customer_id": "who", "product_id": "details.id"})
    path = tmp_path / "log.csv"
    quoted = text.replace('"', '""')
    path.write_text(f'who,at,price,details\nu,2026-06-30,1.5,"{quoted}"\n')
    [batch] = files.read(path, own)
    assert batch.bad == []
    assert batch.events["product_id"].to_pylist() == [None]
    assert [column for column, *_ in batch.unreadable] == ["product_id"]


def test_a_consent_of_another_kind_is_no_consent(tmp_path):
    rows = [
        {"customer_id": "a", "consent_personalisation": {"given": True}, "suppressed": []},
        {"customer_id": "b", "consent_personalisation": [True], "suppressed": {"since": 1}},
        {"customer_id": "c", "consent_personalisation": True, "suppressed": False},
    ]
    path = lines(tmp_path / "customers.jsonl", rows)
    _, shape = table_files.layout_of("native", "customers")
    with files.opened(path) as file:
        [batch] = table_files.batches(file, str(path), shape)
    assert batch.rows["customer_id"].to_pylist() == ["c"]
    assert [row.number for row in batch.bad] == [1, 2], "whose rows close all that they agreed to"
