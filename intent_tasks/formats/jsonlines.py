"""Read a block of JSON lines into the fields that a format looks at.

Arrow reads the block at once when every field has one type. Otherwise (a number here and a text
there, a line that is broken) the block is read line by line, and what cannot be used set aside.
"""

import io
import json
from collections.abc import Sequence
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.json

from intent_tasks.core.rules import BadRow
from intent_tasks.errors import BadInput
from intent_tasks.formats import blocks
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.column_value import Value
from intent_tasks.formats.mapping import Shape
from intent_tasks.formats.values import text_of_number

SAMPLE_LINES = 50

NO_OBJECT = "the line is no JSON object"

Tree = dict[str, Any]
"""Fields by name: a tree for what is inside, a list of one tree for a list, None for a value."""

PAIRS: list[Tree] = [
    {
        "key": None,
        "value": dict.fromkeys(("string_value", "int_value", "float_value", "double_value")),
    }
]
"""A list of keys and values, as BigQuery exports the parameters of an event."""


def parse(block: bytes, shape: Shape, first_number: int) -> Rows:
    """Return the rows of whole lines, numbered from `first_number`."""
    return _parse(block, tree_of(shape), first_number)


def parse_values(texts: Sequence[str], name: str, tree: Tree) -> Rows:
    """Return a row for each JSON text, as the field of that name, numbered from 1."""
    lines = (
        f"{{{json.dumps(name)}: " + text.replace("\n", " ").replace("\r", " ") + "}"
        for text in texts
    )
    return _parse("\n".join(lines).encode(), tree, 1)


def _parse(block: bytes, tree: Tree, first_number: int) -> Rows:
    if b"\n\n" not in block and not block.startswith(b"\n"):
        try:
            table = _at_once(block, tree)
            numbers = pa.array(range(first_number, first_number + table.num_rows), pa.int64())
            if table.num_rows == block.count(b"\n") + (not block.endswith(b"\n")):
                return Rows(table, numbers, [], partial(_whole, block, first_number))
        except (pa.ArrowException, ValueError):
            pass  # it is said below which line it was
    return _by_line(block, tree, first_number)


def _at_once(block: bytes, tree: Tree) -> pa.Table:
    lines = islice(io.BytesIO(block), SAMPLE_LINES)
    samples = [json.loads(line) for line in lines]
    if not all(isinstance(sample, dict) for sample in samples):
        raise ValueError(NO_OBJECT)
    schema = pa.schema(
        [(name, _type_of_field(tree[name], [s.get(name) for s in samples])) for name in tree]
    )
    return pa.json.read_json(
        io.BytesIO(block),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=pa.json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore"
        ),
    )


def _type_of_field(tree: Any, samples: list[Any]) -> pa.DataType:  # noqa: ANN401
    """Return the type of a field, a text where it holds JSON as such: `nested_text` reads that."""
    present = [sample for sample in samples if sample is not None]
    if present and all(isinstance(sample, str) for sample in present):
        return pa.string()
    return _type(tree, samples)


def _type(tree: Any, samples: list[Any]) -> pa.DataType:  # noqa: ANN401 - a Tree, a list or None
    """Return the type of a field that holds such values.

    Raises:
        ValueError: there is none that all of them have.
    """
    present = [sample for sample in samples if sample is not None]
    if tree is not None and not all(isinstance(sample, type(tree)) for sample in present):
        raise ValueError("values of several types")
    if isinstance(tree, dict):
        inner = {name: [s.get(name) for s in present] for name in tree}
        return pa.struct([(name, _type(tree[name], inner[name])) for name in tree])
    if isinstance(tree, list):
        return pa.list_(_type(tree[0], [element for sample in present for element in sample]))
    for python, arrow in ((bool, pa.bool_()), (int, pa.int64()), (int | float, pa.float64())):
        if present and all(isinstance(sample, python) for sample in present):
            return arrow
    return pa.string()


def _by_line(block: bytes, tree: Tree, first_number: int) -> Rows:
    found: list[Tree] = []
    numbers: list[int] = []
    bad: list[BadRow] = []
    for number, line in enumerate(block.splitlines(), first_number):
        if not line.strip():
            continue
        row: Any = line.decode(errors="backslashreplace")
        try:
            row = json.loads(line)
            found.append(_pruned(row, tree, ""))
            numbers.append(number)
        except _MisfitError as misfit:
            bad.append(BadRow(number, str(misfit), blocks.payload(row)))
        except ValueError:  # also bytes that are no UTF-8
            bad.append(BadRow(number, NO_OBJECT, blocks.payload(row)))
    schema = pa.schema(list(_type(tree, [])))
    lines = partial(_whole, block, first_number)
    return Rows(pa.Table.from_pylist(found, schema), pa.array(numbers, pa.int64()), bad, lines)


class _MisfitError(Exception):
    """A value is of another kind than the format says; the message is the rule."""


def _whole(block: bytes, first_number: int, numbers: Sequence[int]) -> list[Tree]:
    lines = block.splitlines()
    return [json.loads(lines[number - first_number]) for number in numbers]


def _pruned(value: Any, tree: Any, name: str) -> Any:  # noqa: ANN401 - any JSON
    """Return the part of a value that the tree names, all of it as text.

    Raises:
        _MisfitError: it has not the fields that the tree names.
    """
    if value is None or (name and value in ("", [])):  # PHP writes [] for an empty object
        return None
    if isinstance(value, str) and isinstance(tree, dict | list):
        value = _from_text(value, tree)
    if isinstance(tree, list):
        elements = value if isinstance(value, list) else [value]
        return [_pruned(element, tree[0], name) for element in elements]
    if isinstance(value, list) and name:
        raise _MisfitError(f"the field {name} is a list: name it as `each`, or join it")
    if isinstance(tree, dict):
        if not isinstance(value, dict):
            raise _MisfitError(f"the field {name} is no object" if name else NO_OBJECT)
        return {n: _pruned(value.get(n), tree[n], f"{name}.{n}".lstrip(".")) for n in tree}
    if isinstance(value, dict):
        raise _MisfitError(f"the field {name} is an object: name a field inside it")
    if isinstance(value, float):
        return text_of_number(value)
    return value if isinstance(value, str) else json.dumps(value)


def _from_text(text: str, tree: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return what a text holds as JSON where fields inside it are named, else the text."""
    if not isinstance(tree[0] if isinstance(tree, list) else tree, dict):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def tree_of(shape: Shape) -> Tree:
    """Return the fields that a shape reads."""
    tree: Tree = {}
    for value in shape.values:
        for name, leaf in value.leaves:
            _plant(tree, name, leaf, shape.each)
    return tree


def _plant(tree: Tree, name: str, value: Value, each: str | None) -> None:
    is_list = name == each or (value.join is not None and not value.fields[1:])
    leaf: Any = PAIRS if value.key else [None] if is_list else None
    parts = name.split(".")
    for depth, part in enumerate(parts[:-1], 1):
        inside = tree.setdefault(part, [{}] if ".".join(parts[:depth]) == each else {})
        inner = inside[0] if isinstance(inside, list) else inside
        if not isinstance(inner, dict) or inside is PAIRS:
            raise _in_two_ways(".".join(parts[:depth]))
        tree = inner
    known = tree.setdefault(parts[-1], leaf)
    if known in (None, [None]) and leaf in (None, [None]):
        tree[parts[-1]] = known or leaf  # a list may hold one value
    elif known != leaf:
        raise _in_two_ways(name)


def _in_two_ways(name: str) -> BadInput:
    return BadInput(
        f"The format reads the field {name} in two ways: as a value, and as what holds fields or "
        "keys. In JSON it is one of them. Mend the format: docs/collect.md."
    )
