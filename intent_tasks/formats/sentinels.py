"""Customers who are hardly one: texts that programs write where they know nobody."""

from collections import Counter
from collections.abc import Iterator

import pyarrow as pa

from intent_tasks.formats import words

NOBODY = (
    "undefined", "null", "none", "nan", "n/a", "#n/a", "na", "nil", "(not set)", "(none)", "(null)",
    "[object object]", "[null]", "[]", "{}", "0", "-1", "true", "false", "unknown", "anonymous",
    "guest", "00000000-0000-0000-0000-000000000000", "userid", "user_id", "anonymousid",
    "anonymous_id", "customerid", "customer_id", "distinct_id", "visitorid", "id",
)  # fmt: skip
"""In lower case and without blanks around."""

LEAST_EVENTS = 10
"""With fewer it may be a customer, and hardly matters."""


def count_sentinels(events: pa.Table) -> Counter[str]:
    """Return how many events name each customer who is hardly one."""
    ids = events["customer_id"].combine_chunks()
    return Counter(ids.filter(words.match_words(ids, NOBODY)).to_pylist())


def describe_sentinels(counts: Counter[str]) -> Iterator[str]:
    """Yield what to say of those with many events."""
    for name, count in counts.most_common():
        if count >= LEAST_EVENTS:
            yield (
                f"{count:,} events are of one customer, {name!r}: if that is nobody, list it as "
                "`missing` of customer_id in the format: docs/collect.md."
            )
