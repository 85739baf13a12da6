"""Read a block of JSON lines into the fields that a format looks at.

Arrow reads the block at once when every field has one type. Otherwise (a number in one line and a
text in another, a broken line) the block is read line by line, and bad lines are set aside.
"""

import io
import json
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
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

TOO_DEEP = "the line is nested too deeply"

_TEXT = pa.string()

Tree = dict[str, Any]
"""Fields by name: a tree for an object, a list of one tree for a list, None for a value."""

PAIRS: list[Tree] = [
    {
        "key": None,
        "value": dict.fromkeys(("string_value", "int_value", "float_value", "double_value")),
    }
]
"""A list of key-value pairs, as BigQuery exports the parameters of an event."""


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
        except (pa.ArrowException, ValueError, RecursionError):
            pass  # reading line by line finds the broken line
    return _by_line(block, tree, first_number)


def _at_once(block: bytes, tree: Tree) -> pa.Table:
    lines = islice(io.BytesIO(block), SAMPLE_LINES)
    samples = [_loaded(line) for line in lines]
    if not all(isinstance(sample, dict) for sample in samples):
        raise ValueError(NO_OBJECT)
    schema = pa.schema(
        [(name, _type_of_field(tree[name], [s.get(name) for s in samples])) for name in tree]
    )
    table = pa.json.read_json(
        io.BytesIO(block),
        read_options=pa.json.ReadOptions(use_threads=False, block_size=len(block) + 1),
        parse_options=pa.json.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="ignore"
        ),
    )
    if any(_may_have_lost_digits(column.combine_chunks()) for column in table.columns):
        raise ValueError("an integer that no double holds")
    return table


_FIRST_INEXACT = 2.0**53
"""From here on two integers may be one double."""


def _may_have_lost_digits(array: pa.Array) -> bool:
    """Return whether doubles, also inside lists and objects, are large enough to stand for others.

    A field is read as doubles where whole and other numbers are mixed; some of them may be ids.
    """
    if pa.types.is_list(array.type):
        return _may_have_lost_digits(array.flatten())
    if pa.types.is_struct(array.type):
        return any(_may_have_lost_digits(inner) for inner in array.flatten())
    if not pa.types.is_floating(array.type):
        return False
    return bool(pc.any(pc.greater_equal(pc.abs(array), _FIRST_INEXACT)).as_py())


def _loaded(line: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a line.

    Raises:
        ValueError: it is no JSON.
        RecursionError: it is nested too deeply.
    """
    try:
        return json.loads(line)
    except UnicodeDecodeError:
        raise
    except ValueError:  # perhaps because of a number with thousands of digits
        return json.loads(line, parse_int=str)


def _type_of_field(tree: Any, samples: list[Any]) -> pa.DataType:  # noqa: ANN401
    """Return the type of a field; it is text where texts hold JSON, which `nested_text` reads."""
    present = [sample for sample in samples if sample is not None]
    if present and all(isinstance(sample, str) for sample in present):
        return pa.string()
    return _type(tree, samples)


def _type(
    tree: Any,  # noqa: ANN401 - a Tree, a list or None
    samples: list[Any],
    text: pa.DataType = _TEXT,
) -> pa.DataType:
    """Return the type of a field that holds such values; `text` when there are none.

    Raises:
        ValueError: the values have no common type.
    """
    present = [sample for sample in samples if sample is not None]
    if tree is not None and not all(isinstance(sample, type(tree)) for sample in present):
        raise ValueError("values of several types")
    if isinstance(tree, dict):
        inner = {name: [s.get(name) for s in present] for name in tree}
        return pa.struct([(name, _type(tree[name], inner[name], text)) for name in tree])
    if isinstance(tree, list):
        elements = [element for sample in present for element in sample]
        return pa.list_(_type(tree[0], elements, text))
    for python, arrow in ((bool, pa.bool_()), (int, pa.int64()), (int | float, pa.float64())):
        if present and all(isinstance(sample, python) for sample in present):
            return arrow
    return text


def _by_line(block: bytes, tree: Tree, first_number: int) -> Rows:
    trees: list[Tree] = []
    misfits: list[str | None] = []
    numbers: list[int] = []
    bad: list[BadRow] = []
    for number, line in enumerate(block.split(b"\n"), first_number):
        if not line.strip():
            continue
        try:
            row = _loaded(line)
            if not isinstance(row, dict):
                raise ValueError(NO_OBJECT)
            entries: list[str] = []
            trees.append(_pruned(row, tree, "", entries))
            misfits.append("".join(entries) or None)
            numbers.append(number)
        except ValueError:  # also bytes that are no UTF-8
            bad.append(BadRow(number, NO_OBJECT, blocks.payload(_storable(line))))
        except RecursionError:
            bad.append(BadRow(number, TOO_DEEP, blocks.payload(_storable(line))))
    # As bytes: half a character is no text, and its row is set aside as in other files.
    schema = pa.schema(list(_type(tree, [], pa.binary())))
    lines = partial(_whole, block, first_number)
    table = pa.Table.from_pylist(trees, schema)
    if any(misfits):
        table = table.append_column(blocks.MISFITS, pa.array(misfits, pa.string()))
    return Rows(table, pa.array(numbers, pa.int64()), bad, lines)


def _whole(block: bytes, first_number: int, numbers: Sequence[int]) -> list[Any]:
    lines = block.split(b"\n")
    return [_storable(lines[number - first_number]) for number in numbers]


def _storable(line: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a line, or its text when the value cannot be stored."""
    try:
        row = _loaded(line)
        blocks.payload(row)
    except (ValueError, RecursionError):
        return line.decode(errors="backslashreplace")
    return row


def _pruned(value: Any, tree: Any, name: str, misfits: list[str]) -> Any:  # noqa: ANN401
    """Return the part of a value that the tree names, all of it as text.

    A value of another kind than the tree says becomes null, and adds an entry to `misfits` for each
    field that the tree names there.
    """
    if value is None or (name and value in ("", [])):  # PHP writes [] for an empty object
        return None
    if isinstance(value, str) and isinstance(tree, dict | list):
        value = _from_text(value, tree)
    if isinstance(tree, list):
        return [_pruned(element, tree[0], name, misfits) for element in _elements(value)]
    if isinstance(tree, dict) and isinstance(value, dict):
        return {n: _pruned(value.get(n), tree[n], f"{name}.{n}".lstrip("."), misfits) for n in tree}
    if message := _misfit_message(value, tree, name):
        misfits += [blocks.misfit(field, message) for field in _leaves(tree, name)]
        return None
    text = value if isinstance(value, str) else _text_of(value)
    return text.encode(errors="surrogatepass")


def _elements(value: Any) -> list[Any]:  # noqa: ANN401 - any JSON
    """Return the elements of a list, also where PHP wrote an object with numbered names."""
    if isinstance(value, list):
        return value
    if isinstance(value, dict) and value and set(value) == set(map(str, range(len(value)))):
        return [value[str(place)] for place in range(len(value))]
    return [value]


def _misfit_message(value: Any, tree: Any, name: str) -> str | None:  # noqa: ANN401 - any JSON
    if isinstance(value, list):
        return f"the field {name} is a list: name it as `each`, or join it"
    if isinstance(tree, dict):
        return f"the field {name} is no object"
    if isinstance(value, dict):
        return f"the field {name} is an object: name a field inside it"
    return None


def _leaves(tree: Any, name: str) -> Iterator[str]:  # noqa: ANN401 - a Tree, a list or None
    """Yield the names of all fields that a tree names below a name."""
    inside = tree[0] if isinstance(tree, list) else tree
    if not isinstance(inside, dict) or tree is PAIRS:
        yield name
        return
    for part, inner in inside.items():
        yield from _leaves(inner, f"{name}.{part}")


def _text_of(value: Any) -> str:  # noqa: ANN401 - a number or a truth
    return text_of_number(value) if isinstance(value, float) else json.dumps(value)


def _from_text(text: str, tree: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return the JSON value of a text where the tree names fields inside it, else the text."""
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
    before = tree.setdefault(parts[-1], leaf)
    if before in (None, [None]) and leaf in (None, [None]):
        tree[parts[-1]] = before or leaf  # a list may hold one value
    elif before != leaf:
        raise _in_two_ways(name)


def _in_two_ways(name: str) -> BadInput:
    return BadInput(
        f"The format reads the field {name} in two ways: as a value, and as what holds fields or "
        "keys. In JSON it is one of them. Mend the format: docs/collect.md."
    )
