"""Texts that stand for no value: each format lists its own, whatever their case."""

import pytest

from intent_tasks.formats import files, mapping
from tests.unit.own_format import PLAIN, layout, lines, view

NOBODY = [
    "undefined", "null", "None", "NaN", "N/A", "n/a", "[object Object]", "0", "", " NULL ",
    "#N/A", "#n/a ", "\u00a0", " \u3000", "null\u00a0", "(not set)", "(NOT SET)",
    "00000000-0000-0000-0000-000000000000", "[null]",
]  # fmt: skip


def call(number, user, **properties):
    """Return a track call of Segment."""
    at = "2026-11-20T10:00:00Z"
    return {
        "messageId": f"m{number}", "event": "Product Viewed", "userId": user,
        "anonymousId": f"a{number}", "timestamp": at, "receivedAt": at,
        "properties": {"product_id": "p1", "price": 5} | properties,
    }  # fmt: skip


def test_an_id_that_stands_for_nobody_gives_way_to_the_next(tmp_path):
    users = [*NOBODY, "anonymousId", "userId", 0, None]
    rows = [call(n, user) for n, user in enumerate(users)]
    [batch] = files.read(lines(tmp_path / "calls.json", rows), "segment")
    assert batch.events["customer_id"].to_pylist() == [f"a{n}" for n in range(len(users))]
    [batch] = files.read(
        lines(tmp_path / "real.json", [call(1, "Nullius"), call(2, "00")]), "segment"
    )
    assert batch.events["customer_id"].to_pylist() == ["Nullius", "00"]


def test_a_price_of_nothing_is_a_price(tmp_path):
    [batch] = files.read(lines(tmp_path / "calls.json", [call(1, "u", price=0)]), "segment")
    assert batch.events["price"].to_pylist() == [0]


def hit(number, **item):
    """Return an event of Google Analytics with one product."""
    return {
        "event_timestamp": str(1795168800000000 + number), "event_name": "view_item",
        "user_pseudo_id": f"7.{number}", "event_bundle_sequence_id": "1",
        "device": {"category": item.pop("device", "mobile")},
        "traffic_source": {"medium": item.pop("medium", "organic")},
        "items": [{"item_id": "p1", "item_name": "Mug", "item_brand": "Acme"} | item],
    }  # fmt: skip


@pytest.mark.parametrize("none", ["(not set)", "(Not Set)", " (not set)", "undefined", "null"])
def test_what_google_did_not_set_is_not_set(tmp_path, none):
    empty = hit(1, item_id=none, item_name=none, item_brand=none, item_category=none,
                item_category2=none, device=none, medium=none)  # fmt: skip
    partly = hit(2, item_brand=none, item_category="Home", item_category2=none)
    rows = [empty, partly, hit(3, medium="(none)"), hit(4, medium="(direct)")]
    [batch] = files.read(lines(tmp_path / "events_20261120.json", rows), "ga4")
    assert batch.events["product_id"].to_pylist() == [None, "p1", "p1", "p1"]
    assert batch.events["channel"].to_pylist() == [None, "organic", None, None]
    assert batch.events["device"].to_pylist() == [None, "mobile", "mobile", "mobile"]
    [product] = batch.products.to_pylist()
    assert (product["product_id"], product["brand"], product["category_path"]) == (
        "p1",
        "Acme",
        "Home",
    )


@pytest.mark.parametrize("name", mapping.names())
def test_every_shipped_format_lists_texts_that_are_no_value(name):
    assert all("null" in shape.missing for shape in mapping.load(name).shapes)


def test_a_part_of_a_value_may_list_texts_of_its_own(tmp_path):
    events = {
        "customer_id": {"fields": [{"field": "who", "missing": ["0"]}, "cookie"]},
        "event_type": {"constant": "view"},
        "product_id": {"field": "sku", "default": "unsorted"},
        "occurred_at": {"field": "at", "time": "iso"},
    }
    own = layout(tmp_path, events, missing=["nil"])
    path = tmp_path / "log.csv"
    path.write_text(
        "who,cookie,sku,at\n0,c1,NIL,2026-06-30\nnil,c2,p1,2026-06-30\n1,c3,,2026-06-30\n"
    )
    [batch] = files.read(path, own)
    assert batch.events["customer_id"].to_pylist() == ["c1", "nil", "1"]
    assert batch.events["product_id"].to_pylist() == ["unsorted", "p1", "unsorted"]


@pytest.mark.parametrize("word", ["–", "Ohne Größe", "ÄÖ", "keine angabe", "#N/A"])
def test_a_text_in_any_language_can_stand_for_no_value(tmp_path, word):
    own = layout(tmp_path, {**PLAIN, "product_id": "sku"}, missing=[word])
    texts = [word, word.lower(), f"\u00a0{word} ", f"{word}s", "Größe"]
    rows = [view(sku=text) for text in texts]
    [batch] = files.read(lines(tmp_path / "log.json", rows), own)
    assert batch.events["product_id"].to_pylist() == [None, None, None, f"{word}s", "Größe"]
