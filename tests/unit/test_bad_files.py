"""Every fault of a file or a place ends in one message with advice."""

import gzip
import json
import re
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.errors import BadInput, Refused
from intent_tasks.formats import blocks, files, mapping
from intent_tasks.stores.collecting import discovery

HEADER = "event_id,customer_id,event_type,occurred_at,query_text\n"
GOOD = HEADER + "".join(f"e{n},c1,view,2026-06-30T12:00:00Z,\n" for n in range(2000))


def _found(path):
    [file], *_ = discovery.find(str(path))
    return file


def _batches(path, name="native"):
    file = _found(path)
    with file.opened() as opened:
        return list(files.batches(opened, file.path, mapping.load(name), "id"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cut.csv.gz", gzip.compress(GOOD.encode())[:-200], r"cut\.csv\.gz .*still being written"),
        ("none.csv.gz", b"no gzip at all", r"none\.csv\.gz cannot be read as gzip.*Write the file"),
        ("cut.csv.zst", b"no zstd at all", r"cut\.csv\.zst cannot be read as zstd"),
    ],
)
def test_a_file_that_does_not_decompress_is_named_before_anything_is_loaded(
    tmp_path, name, content, message
):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message):
        _found(tmp_path / name).digest()


@pytest.mark.parametrize("keep", [0, 3, 200, -20])
def test_a_parquet_file_that_is_cut_off_is_named(tmp_path, keep):
    path = tmp_path / "events.parquet"
    pq.write_table(pa.table({"event_id": ["a"] * 100}), path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"events\.parquet cannot be read as parquet"):
        _batches(path)


def test_a_file_in_another_format_is_told_what_it_lacks(tmp_path):
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "events.parquet")
    with pytest.raises(BadInput, match=r"lacks event_id, customer_id, .*Its columns: a, b\."):
        _batches(tmp_path / "events.parquet")
    (tmp_path / "buys.dat").write_text("1,2,3\n")
    with pytest.raises(BadInput, match="has 3 columns instead of 4; or it has 3 columns instead"):
        _batches(tmp_path / "buys.dat", "yoochoose")


def test_an_empty_folder_and_one_without_events_are_distinguished(tmp_path):
    with pytest.raises(BadInput, match="There is no file at"):
        discovery.find(str(tmp_path))
    with pytest.raises(BadInput, match="There is no file at"):
        discovery.find(str(tmp_path / "nowhere"))
    (tmp_path / "notes.md").touch()
    (tmp_path / "_SUCCESS").touch()
    with pytest.raises(BadInput, match=r"no file of events at .*only 2 others.*end in \.csv"):
        discovery.find(str(tmp_path))
    (tmp_path / "_SUCCESS").unlink()
    with pytest.raises(BadInput, match=r"only one other\."):
        discovery.find(str(tmp_path))


def test_a_file_that_vanishes_is_named(tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(GOOD)
    file = _found(path)
    path.unlink()
    with pytest.raises(BadInput, match=r"events\.csv vanished while it was collected"):
        file.digest()


class Forbidden(fsspec.AbstractFileSystem):
    """A store that knows the names of files and lets nobody read them."""

    protocol = "forbidden"

    def find(self, path, **_):
        if "secret" in path:
            raise PermissionError("Access Denied")
        if "away" in path:
            raise RuntimeError("Unable to locate credentials")
        return {f"{path}/a.csv": {"name": f"{path}/a.csv", "size": 1, "type": "file"}}

    def _open(self, path, *_, **__):
        raise PermissionError("Access Denied")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("forbidden://bucket/secret", "may not be read .Access Denied.*INTENT_COLLECT_OPTIONS"),
        ("forbidden://bucket/away", "cannot be reached: Unable to locate credentials"),
        ("nonsense://bucket", "cannot be collected: Protocol not known"),
    ],
)
def test_a_place_that_may_not_be_read_asks_for_credentials(url, message):
    fsspec.register_implementation("forbidden", Forbidden, clobber=True)
    with pytest.raises(Refused, match=message):
        discovery.find(url)


def test_a_file_that_may_not_be_read_asks_for_the_right():
    fsspec.register_implementation("forbidden", Forbidden, clobber=True)
    with pytest.raises(Refused, match=r"a\.csv may not be read"):
        _found("forbidden://bucket/open").digest()


@pytest.mark.parametrize("options", ["[1]", "{", '"key"'])
def test_options_that_are_no_object_are_named(options):
    with pytest.raises(BadInput, match="INTENT_COLLECT_OPTIONS is no JSON object"):
        discovery.find("memory://x", options)


def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_data(tmp_path):
    path = tmp_path / "events.csv"
    path.write_bytes(("\ufeff" + GOOD).replace("\n", "\r\n").encode())
    [batch] = _batches(path)
    assert batch.events.num_rows == 2000
    assert batch.events["query_text"].null_count == 2000
    assert batch.bad == []


def test_a_line_of_ten_megabytes_is_read_or_set_aside_and_a_longer_one_than_a_block_named(
    tmp_path, monkeypatch
):
    path = tmp_path / "events.csv"
    path.write_text(GOOD + "long,c1,search,2026-06-30," + "very " * 2_000_000 + "\n" + "short\n")
    batches = _batches(path)
    assert sum(b.events.num_rows + len(b.bad) for b in batches) == 2002
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1 << 20)
    with pytest.raises(BadInput, match="line longer than 1 MiB, or a quotation mark"):
        _batches(path)


def test_json_lines_of_mixed_types_and_broken_ones_are_read_one_by_one(tmp_path):
    row = {"event_id": "a", "customer_id": 7, "event_type": "view", "occurred_at": "2026-06-30"}
    lines = [row, row | {"event_id": 8, "customer_id": "c"}, row | {"event_id": "x", "price": {}}]
    text = [json.dumps(line) for line in lines]
    path = tmp_path / "events.jsonl"
    path.write_bytes(
        "\n".join([*text, "", "{broken", "[1]"]).encode() + b'\n{"event_id": "\xff"}\n'
    )
    [batch] = _batches(path)
    assert batch.events["customer_id"].to_pylist() == ["7", "c", "7"]
    assert batch.events["price"].to_pylist() == [None, None, None]
    assert batch.unreadable == [("price", 1, 1, 3)]
    assert [(bad.number, bad.rule) for bad in batch.bad] == [
        (5, "the line is no JSON object"),
        (6, "the line is no JSON object"),
        (7, "the line is no JSON object"),
    ]


# ── Formats of one's own ─────────────────────────────────────────────────────────────────────────


def test_the_format_in_the_docs_is_one(tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "collect.md").read_text()
    own_format = tmp_path / "ours.toml"
    own_format.write_text(re.search(r"```toml\n(.*?)```", page, re.DOTALL)[1])
    lines = [{"sku": "a", "price": 2.5, "c1": "x", "c2": "y"}, {"sku": "b", "price": 3}]
    row = {"id": "1", "cookie": "c", "t": 1782820800000, "what": "buy", "basket": {"lines": lines}}
    path = tmp_path / "log.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps(row | {"what": "blink"}) + "\n")
    [batch] = _batches(path, str(own_format))
    bought = batch.events.select(["event_id", "event_type", "product_id", "price"]).to_pylist()
    assert [tuple(event.values()) for event in bought] == [
        ("1", "purchase", "a", 2.5),
        ("1/1", "purchase", "b", 3.0),
    ]
    assert batch.ignored == 2
    assert batch.products["category_path"].to_pylist() == ["x.y", None]


SHAPE = "about = 'x'\n[[shapes]]\n[shapes.events]\n"
EVENTS = "customer_id = 'c'\nevent_type = 'e'\noccurred_at = { field = 't', time = 'iso' }\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no toml", "is not TOML"),
        ("about = 'x'", "shapes: is missing"),
        (SHAPE + "customer_id = 'c'", "events lacks event_type, occurred_at"),
        (SHAPE + EVENTS + "colour = 'c'", "files fill no column colour; columns: channel"),
        (SHAPE + EVENTS.replace(", time = 'iso'", ""), "events.occurred_at needs time"),
        (SHAPE + EVENTS + "price = { constant = '1', field = 'p' }", "give either field"),
        (
            SHAPE + EVENTS + "price = { field = 'p', colour = 1 }",
            "price.colour: there is no such setting",
        ),
    ],
)
def test_a_mistake_in_a_format_is_named_with_its_place(tmp_path, text, message):
    path = tmp_path / "ours.toml"
    path.write_text(text)
    with pytest.raises(BadInput, match=message):
        mapping.load(str(path))


def test_a_format_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        mapping.load(str(tmp_path / "ours.toml"))
