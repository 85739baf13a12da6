"""For any format and any file, rows are counted or a message gives the reason."""

import json
from contextlib import suppress

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from intent_tasks.errors import IntentError
from intent_tasks.formats import files, table_files
from intent_tasks.formats.columns import CUSTOMERS, SCHEMA
from tests.unit.own_format import layout, lines

NAMES = ("id", "who", "at", "x", "o.a", "o.b", "l.a", "l")
TEXTS = st.sampled_from(
    ["", "0", "7", "u1", "null", "NaN", "$1,299", "1.299,00 €", "2026-06-30", "{", '{"a": "x"}',
     "[1]", "\ud83d", "\0", "yes", "99999999999", "-1e400", "31.02.2026"]
)  # fmt: skip
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
CELLS = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=5,
)
ROWS = st.lists(st.dictionaries(st.sampled_from(["id", "who", "at", "x", "o", "l"]), CELLS))
FIELD = st.sampled_from(NAMES)


@st.composite
def values(draw, depth=1):
    """Draw the mapping of a column."""
    parts = FIELD if depth == 0 else FIELD | values(depth=0)
    value = {"fields": draw(st.lists(parts, min_size=1, max_size=3))}
    options = {
        "join": st.sampled_from(["", "-"]), "default": st.sampled_from(["", "7"]),
        "missing": st.just(["null", "0"]), "decimal": st.sampled_from([".", ","]),
        "divide_by": st.sampled_from([100, "x", "o.a"]), "less": st.sampled_from(["x", ["o.b"]]),
        "absolute": st.booleans(), "whole": st.booleans(), "others": st.just("ignore"),
        "map": st.just({"u1": "view", "7": "purchase"}), "key": st.just("a"),
        "time": st.sampled_from(["iso", "seconds", ["%d.%m.%Y", "iso"]]),
    }  # fmt: skip
    chosen = draw(st.lists(st.sampled_from(sorted(options)), max_size=3, unique=True))
    return value | {name: draw(options[name]) for name in chosen}


REQUIRED = {
    "customer_id": {"fields": ["who", "id"]},
    "event_type": {"constant": "view"},
    "occurred_at": {"field": "at", "time": ["iso", "seconds"]},
}
SHAPES = st.fixed_dictionaries(
    {},
    optional={
        "each": st.sampled_from(["l", "o.a"]),
        "fill_down": st.just({"by": "id", "fields": ["who", "at"]}),
        "missing": st.just(["null"]),
    },
)


def counted(batches, rows):
    """Make sure that no row is lost."""
    seen = list(batches)
    assert max((batch.last for batch in seen), default=0) <= len(rows) + 1
    for batch in seen:
        assert batch.events.num_rows == len(batch.sources)
        assert len(batch.events["event_id"].unique()) == batch.events.num_rows


@settings(
    max_examples=100, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(
    columns=st.dictionaries(st.sampled_from(SCHEMA.names), values(), max_size=4),
    shape=SHAPES,
    rows=ROWS,
    end=st.sampled_from(["jsonl", "csv"]),
)
def test_no_format_and_no_file_ends_in_a_traceback(tmp_path, columns, shape, rows, end):
    path = tmp_path / f"log.{end}"
    if end == "jsonl":
        lines(path, rows)
    else:
        cells = [
            [json.dumps(row.get(n)) for n in ("id", "who", "at", "x", "o", "l")] for row in rows
        ]
        quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in cells]
        path.write_text("\n".join(["id,who,at,x,o,l", *quoted]))
    with suppress(IntentError):  # it says what is wrong
        counted(list(files.read(path, layout(tmp_path, REQUIRED | columns, **shape))), rows)


def no_yes_by_accident(rows):
    """Make sure that only what can be a yes is one."""
    for consent in set(table_files.CONSENTS) & set(rows.column_names):
        assert set(rows[consent].to_pylist()) <= {True, False} or rows[consent].null_count == len(
            rows
        )


@settings(
    max_examples=50, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(columns=st.dictionaries(st.sampled_from(CUSTOMERS.names), values(), max_size=4), rows=ROWS)
def test_no_file_of_customers_ends_in_a_traceback_or_in_a_yes_by_accident(tmp_path, columns, rows):
    path = lines(tmp_path / "customers.jsonl", rows)
    customers = {"customer_id": "who"} | columns
    with suppress(IntentError):
        name = layout(tmp_path, {}, customers=customers)
        _, table_layout = table_files.layout_of(name, "customers")
        with path.open("rb") as file:
            for batch in table_files.batches(file, str(path), table_layout):
                no_yes_by_accident(batch.rows)
