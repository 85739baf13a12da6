"""Each kind of poison breaks the rule it is about, and text that only looks dangerous none."""

from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.core.rules import OK, broken_rules
from intent_tasks.formats.columns import SCHEMA
from intent_tasks.simulator import poison
from intent_tasks.stores.atomic_files import ROWS_OF_A_GROUP, ParquetFile
from intent_tasks.stores.extracting import duplicates

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)
GOOD = {"event_id": "e1", "customer_id": "c1", "event_type": "view", "occurred_at": NOON,
        "ingested_at": NOON, "price": 1.0, "quantity": 1}  # fmt: skip

RULES = {
    "null_event_id": "event_id is missing",
    "null_customer_id": "customer_id is missing",
    "null_event_type": "event_type is missing",
    "null_occurred_at": "occurred_at is missing",
    "empty_customer_id": "customer_id is missing",
    "unknown_type": "event_type is unknown",
    "year_0001": "occurred_at is before 1990",
    "year_9999": "occurred_at is after 2100",
    "nan_price": "price is not finite",
    "infinite_price": "price is not finite",
    "negative_price": "price is below 0",
    "negative_quantity": "quantity is below 0",
    "greatest_quantity": "quantity is above 1e+06",
    "rating_of_99": "rating is above 5",
    "nul_text": "query_text holds a NUL",
    "lone_surrogate": "query_text is not UTF-8",
    "ten_megabytes_of_text": "review_text is longer than 100000 characters",
    "future_clock": "occurred_at is after ingested_at",
    "duplicate_id": "event_id comes twice",
    "sql_text": OK,
    "template_text": OK,
    "script_text": OK,
    "formula_text": OK,
    "right_to_left_text": OK,
}


@pytest.fixture(scope="module")
def poisoned():
    good = pa.Table.from_pylist([GOOD], SCHEMA)
    kinds, rows = poison.rows(good, for_postgres=False)
    return kinds, pa.concat_tables([good, rows])


def test_every_kind_of_poison_breaks_its_rule(poisoned):
    kinds, rows = poisoned
    assert dict(zip(kinds, broken_rules(rows).to_pylist()[1:], strict=True)) == RULES


def test_a_person_may_accept_what_is_odd_but_not_what_nothing_can_be_made_of(poisoned):
    kinds, rows = poisoned
    accepted = broken_rules(rows, repeats=False, accepted=True).to_pylist()[1:]
    taken = {kind for kind, rule in zip(kinds, accepted, strict=True) if rule == OK}
    odd = {"year_0001", "year_9999", "negative_price", "negative_quantity", "greatest_quantity",
           "ten_megabytes_of_text", "future_clock", "duplicate_id"}  # fmt: skip
    assert taken == odd | {kind for kind, rule in RULES.items() if rule == OK}


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_repeats_are_found_across_parts_and_shares(monkeypatch, tmp_path, at_once):
    monkeypatch.setattr(duplicates, "AT_ONCE", at_once)
    monkeypatch.setattr(duplicates, "_READ", 2)
    ids = duplicates.HashFile(tmp_path)
    assert len(ids.repeated()) == 0
    for part in (["a", "b"], ["c", "a", "a"], ["d", "e", "c"]):
        ids.add(duplicates.hashes(pa.array(part)))
    assert set(ids.repeated()) == set(duplicates.hashes(pa.array(["a", "c"])))
    assert len(ids.repeated()) == 2
    ids.close()
    assert list(tmp_path.iterdir()) == []


def test_a_file_has_the_same_bytes_whatever_the_parts_were(tmp_path):
    numbers = np.arange(2 * ROWS_OF_A_GROUP + 7)
    texts = pa.array(["x", None, "y"]).take(pa.array(numbers % 3))
    rows = pa.table({"n": numbers, "t": texts})
    digests = set()
    for size in (rows.num_rows, ROWS_OF_A_GROUP, 77_777):
        with ParquetFile(tmp_path, rows.schema) as file:
            for start in range(0, rows.num_rows, size):
                file.write(rows.slice(start, size))
        digests.add(file.digest)
        file.rename_to(tmp_path / "kept")
    assert len(digests) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_file_that_was_not_finished_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="full"), ParquetFile(tmp_path, SCHEMA):
        raise OSError("full")
    assert list(tmp_path.iterdir()) == []
