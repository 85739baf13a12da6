"""Whatever a file holds, each of its rows is accounted for, or the file is refused by its name."""

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from intent_tasks.errors import BadInput
from intent_tasks.formats import blocks, files, mapping

FUZZ = settings(max_examples=5, derandomize=True, deadline=None, database=None)

TIMES = {
    "iso": "2026-06-30T12:00:00Z",
    "seconds": "1782820800",
    "milliseconds": "1782820800000",
    "microseconds": "1782820800000000",
}

ODD = st.one_of(
    st.sampled_from(
        ["", '"', '""', '24" wide', '"24 inch', 'inch"', '"a,b"', '"a\nb"', "\r", "\0", "a\tb",
         "é", "NaN", "1e999", "-inf", "9" * 400, "$19.99", "1,299.00", "0001-01-01", "9999-12-31",
         "null", "[]", "{}", "'", "\u2028", "=1+1", "\ufeff", "2026-02-30", "-5", "1e-320"]
    ),
    st.text(max_size=8),
)  # fmt: skip

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), ODD),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


def usual(shape):
    """Return field → a value that can be read, of the columns of a shape."""
    row = {}
    for column, value in shape.events.items():
        text = next(iter(value.map), None) or TIMES.get(next(iter(value.time), ""), "7")
        text = "view" if column == "event_type" and not value.map else text
        row |= dict.fromkeys(value.names, text)
    return row


def shapes():
    return [
        pytest.param(name, place, id=f"{name}-{place + 1}")
        for name in mapping.names()
        for place, shape in enumerate(mapping.load(name).shapes)
        if shape.events
    ]


def read(data, path, name):
    """Return the batches of a file; none where it is refused as it should be."""
    layout = mapping.load(name)
    found, refused = [], None
    try:
        found = list(files.batches(io.BytesIO(data), path, layout, "file"))
    except BadInput as error:
        refused = error
    if refused:
        cause = refused.__cause__
        assert path in str(refused)
        assert cause is None or isinstance(cause, pa.ArrowException), f"a fault of ours: {cause!r}"
    for batch in found:
        assert len(batch.numbers) == batch.events.num_rows == len(batch.sources)
        for table in (batch.events, batch.products):
            table.validate(full=True)
        for row in batch.bad:
            assert json.loads(row.payload) is not None
        assert len({row.number for row in batch.bad}) == len(batch.bad), "the key of the quarantine"
    return found


def counted(found, *, flat):
    """Check that every row was used or rejected; return the number of rows."""
    rows = sum(batch.rows_read for batch in found)
    became = sum(b.events.num_rows + b.repeated + b.ignored + len(b.bad) for b in found)
    assert became == rows if flat else became >= rows
    return rows


@pytest.fixture(autouse=True, scope="module")
def small_blocks():
    """Read in small blocks, so that rows lie across their ends."""
    whole, blocks.BLOCK_BYTES = blocks.BLOCK_BYTES, 700
    yield
    blocks.BLOCK_BYTES = whole


@pytest.mark.parametrize(("name", "place"), shapes())
def test_delimited_text(name, place):
    shape = mapping.load(name).shapes[place]
    row = usual(shape)
    columns = list(shape.header or row)

    @FUZZ
    @given(st.lists(st.dictionaries(st.sampled_from(columns), ODD, max_size=2), max_size=12))
    def run(changes):
        lines = [[str((row | change).get(name, "")) for name in columns] for change in changes]
        header = [] if shape.header else [columns]
        text = "\n".join(shape.delimiter.join(fields) for fields in [*header, *lines])
        data = text.encode(errors="surrogatepass")
        rows = counted(read(data, "events.csv", name), flat=not shape.each)
        physical = [line for line in data.splitlines() if line]
        assert rows <= len(physical)
        if '"' not in text and rows:
            assert rows == len(physical) - len(header)

    run()


@pytest.mark.parametrize(("name", "place"), shapes())
def test_json_lines(name, place):
    row = usual(mapping.load(name).shapes[place])
    flat = not mapping.load(name).shapes[0].each

    def nested(change):
        found = {}
        for field, value in (row | change).items():
            *outer, last = field.split(".")
            inside = found
            for part in outer:
                inside = inside.setdefault(part, {}) if isinstance(inside, dict) else {}
            if isinstance(inside, dict):
                inside[last] = value
        return found

    @FUZZ
    @given(
        st.lists(st.dictionaries(st.sampled_from(list(row)), JSON, max_size=2), max_size=8),
        st.lists(st.tuples(st.integers(0, 2000), st.binary(max_size=3)), max_size=2),
    )
    def run(changes, cuts):
        data = "\n".join(json.dumps(nested(change)) for change in changes).encode()
        for place, other in cuts:
            data = data[:place] + other + data[place + 1 :]
        rows = counted(read(data, "events.jsonl", name), flat=flat)
        lines = [line for line in data.replace(b"\r", b"\n").split(b"\n") if line.strip()]
        assert rows in (0, len(lines))

    run()


@pytest.mark.parametrize("name", ["native", "ga4", "segment"])
@pytest.mark.parametrize("end", ["csv", "jsonl", "parquet", "csv.gz", "json.zst", "tsv"])
def test_any_bytes(name, end):
    @FUZZ
    @given(st.one_of(st.binary(max_size=200), st.text(max_size=80).map(str.encode)))
    def run(data):
        counted(read(data, f"events.{end}", name), flat=False)

    run()


@pytest.mark.parametrize("name", ["native", "ga4"])
def test_parquet_that_was_damaged(name):
    shape = mapping.load(name).shapes[0]
    row = {field: value for field, value in usual(shape).items() if "." not in field}
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist([row] * 50), buffer, row_group_size=20)
    whole = buffer.getvalue()

    @FUZZ
    @given(
        st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), max_size=3),
        st.one_of(st.just(len(whole)), st.integers(0, len(whole))),
    )
    def run(changes, keep):
        data = bytearray(whole)
        for place, value in changes:
            data[place] = value
        counted(read(bytes(data[:keep]), "events.parquet", name), flat=not shape.each)

    run()
