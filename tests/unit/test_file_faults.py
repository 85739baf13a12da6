"""A fault of the program costs one file, and its message quotes no value of it."""

from types import SimpleNamespace

import pyarrow as pa
import pytest

from intent_tasks.errors import BadInput, IntentError
from intent_tasks.formats import readers
from intent_tasks.stores.collecting.file_loop import Counts, load_each

CELL = "Anna O'Brien, Storgatan 5"


def fail(_):
    readers.COMPRESSIONS[CELL]


def test_a_fault_is_described_by_class_and_place():
    said, counts = [], Counts()
    load_each([SimpleNamespace(url="a.csv", label="a.csv:", load=fail)], counts, said.append)
    with pytest.raises(IntentError, match=r"a\.csv could not be collected: .* KeyError") as failed:
        counts.require_all(1)
    assert "in load_each, line " in str(failed.value)
    assert "Anna" not in f"{failed.value} {said}"


@pytest.mark.parametrize("error", [
    ValueError(f"could not convert {CELL!r}"), ValueError(f"no number: {CELL}"), KeyError(CELL),
])  # fmt: skip
def test_a_fault_of_a_reader_is_described_by_class_and_place(error):
    refusal = pytest.raises(BadInput, match=r"a\.csv cannot be read .*Error in ")
    with refusal as refused, readers.naming_file("a.csv"):
        raise error
    assert "Anna" not in str(refused.value)


@pytest.mark.parametrize("text", [
    f"CSV conversion error to double: invalid value {CELL!r}",
    f"CSV parse error: Expected 3 columns, got 4: {CELL}",
])  # fmt: skip
def test_a_broken_file_is_refused_without_a_row_of_it(text):
    said = str(readers.broken_file_error("a.csv", pa.ArrowInvalid(text)))
    assert "Anna" not in said
    assert said.startswith("a.csv cannot be read as text: CSV ")
