"""Find the rows that a format takes for no events by their values, such as cancelled orders."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import OK
from intent_tasks.formats import values, words
from intent_tasks.formats.mapping import Condition, Shape


def find_rules(table: pa.Table, shape: Shape) -> pa.Array:
    """Return the rule by which each row is no event, shape (n,); empty for an event."""
    rules = pa.repeat(pa.scalar(OK, pa.string()), table.num_rows)
    for condition in shape.skip:
        rules = _first(rules, _meet(table, condition, shape), str(condition))
    for condition in shape.only:
        rules = _first(rules, pc.invert(_meet(table, condition, shape)), f"not: {condition}")
    return rules


def count(rules: pa.Array) -> Counter[str]:
    """Return how many rows each rule skips."""
    counts = Counter({row["values"]: row["counts"] for row in pc.value_counts(rules).to_pylist()})
    del counts[OK]
    return counts


def absent(table: pa.Table, shape: Shape) -> list[str]:
    """Return the fields of conditions that the rows do not have at all."""
    if not table.num_rows:
        return []
    names = dict.fromkeys(condition.field for condition in shape.conditions)
    return [name for name in names if values.field(table, name) is None]


def _meet(table: pa.Table, condition: Condition, shape: Shape) -> pa.Array:
    text = values.text_of(table, shape.conditions[condition])
    if not condition.values:
        return pc.is_valid(text)
    return pc.fill_null(words.match_words(text, condition.values), False)


def _first(rules: pa.Array, where: pa.Array, rule: str) -> pa.Array:
    return pc.if_else(pc.and_(where, pc.equal(rules, OK)), rule, rules)
