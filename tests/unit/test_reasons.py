"""Reasons read as a person would say them."""

from intent_tasks.core.reasons import MOST_REASONS, choose, sentence


def reason(kind="view", product="P9", effect=0.5, day="2026-06-28"):
    return {"event_type": kind, "product_id": product, "occurred_on": day, "effect": effect}


def test_reasons_are_one_sentence_and_ids_keep_their_capitals():
    text = sentence([reason("cart", "P123", 1.2, "2026-06-29"), reason(effect=-0.1)])
    assert text == "Cart of P123 on 2026-06-29 raised it; view of P9 on 2026-06-28 lowered it."
    assert sentence([reason("search", None)]) == "Search on 2026-06-28 raised it."
    assert sentence([]) is None


def test_a_thing_is_named_once_with_its_strongest_effect():
    assert choose([reason(effect=0.9), reason(effect=0.4)]) == [reason(effect=0.9)]


def test_only_the_strongest_few_are_named():
    many = [reason(product=f"P{n}") for n in range(9)]
    assert choose(many) == many[:MOST_REASONS]
