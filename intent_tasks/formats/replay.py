"""Read a row of a file from its payload in quarantine."""

import json
from dataclasses import replace
from typing import Any

import pyarrow as pa

from intent_tasks.formats import jsonlines
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.convert import Batch, convert
from intent_tasks.formats.mapping import PLACE, Format
from intent_tasks.formats.nested_text import parse_texts


def read_row(
    payload: dict[str, Any],
    number: int,
    layout: Format,
    file_id: str,
    correction: dict[str, Any],
) -> Batch:
    """Return the events of a row in a format, which need not be that of its file.

    Args:
        payload: field → value, as quarantine stores it.
        number: of the row in its file.
        layout: the format.
        file_id: what event ids begin with where the source has none.
        correction: column of `shop.events` → value for its events.
    """
    shapes = layout.of_table("events").shapes
    shape = min(shapes, key=lambda shape: len(shape.lacks(tuple(payload))))
    if any(isinstance(value, dict | list) for value in payload.values()):
        rows = jsonlines.parse(json.dumps(payload).encode(), shape, number)
        if PLACE in payload:
            rows = replace(rows, table=rows.table.append_column(PLACE, [[payload[PLACE]]]))
    else:
        texts = {name: str(v) if type(v) is int else v for name, v in payload.items()}  # any length
        rows = Rows(pa.Table.from_pylist([texts]), pa.array([number], pa.int64()), [])
    return convert(parse_texts(rows, shape), shape, file_id, correction)
