"""A customer is found in a row that was set aside, whatever its shape."""

import pytest

from intent_tasks.stores.privacy.erased_rows import _named


@pytest.mark.parametrize(
    ("payload", "named"),
    [
        ({"customer_id": "jo", "price": 1}, {"jo"}),
        ({"user": {"ids": [7, "x"]}}, {"7"}),
        ({"query_text": "jo and 17"}, set()),
        ({"cut_after_characters": 9, "begins": '{"customer_id": "jo", "te'}, {"jo"}),
        ({"cut_after_characters": 9, "begins": '{"customer_id": "jolene", "te'}, set()),
        ("jo", {"jo"}),
        (None, set()),
    ],
)
def test_who_is_named(payload, named):
    assert _named(payload, ["jo", "7"]) == named
