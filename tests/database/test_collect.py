"""Files of events land in the shop: each once, whatever dies, and nothing is lost."""

import gzip
import os
import signal
import subprocess
import sys
from datetime import date

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from intent_tasks.errors import BadInput, NothingToDo, Refused, TemporaryFailure
from intent_tasks.formats import blocks
from intent_tasks.steps import collect, extract, run_step
from intent_tasks.stores import postgres, shop
from intent_tasks.stores.collecting import landing

pytestmark = pytest.mark.database

HEADER = "event_id,customer_id,event_type,occurred_at,price\n"
ROCKET = "user_id,item_id,event,ts\n"
NOON = 1782820800  # 2026-06-30 12:00 UTC


def _line(number, **changes):
    row = {"id": f"e{number}", "customer": f"c{number % 7}", "type": "view", "price": number}
    row |= {"at": "2026-06-30T12:00:00Z"} | changes
    return "{id},{customer},{type},{at},{price}\n".format(**row)


def _lines(start, end):
    return "".join(_line(n) for n in range(start, end))


def _collect(settings, place, layout="native", **options):
    said = []
    totals = collect.collect(settings, str(place), layout, said.append, **options)
    rows = {name: totals.rows[name] for name in ("loaded", "repeated", "quarantined")}
    return (
        rows
        | {name: totals.files[name] for name in ("known", "copied", "ignored")}
        | {"said": said}
    )


def _ask(settings, query):
    with postgres.reading(settings.shop_owner_url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def _events(settings):
    return [row[0] for row in _ask(settings, "SELECT event_id FROM shop.events ORDER BY 1")]


def _quarantined(settings):
    query = "SELECT source, row_number, row_key, rule FROM intent.quarantine ORDER BY 1, 2"
    return _ask(settings, query)


def _write_kinds(folder):
    """Write the same kind of rows in every layout, compressed or not, plain or partitioned."""
    (folder / "dt=2026-06-29").mkdir(parents=True)
    (folder / "a.csv").write_text(HEADER + _lines(0, 10))
    (folder / "dt=2026-06-29" / "b.csv.gz").write_bytes(
        gzip.compress((HEADER + _lines(10, 20)).encode())
    )
    rows = [
        {"event_id": f"e{n}", "customer_id": n, "event_type": "cart", "occurred_at": "2026-06-30"}
        for n in range(20, 30)
    ]
    text = "".join(f"{row}\n".replace("'", '"') for row in rows)
    (folder / "c.jsonl").write_text(text)
    with pa.CompressedOutputStream(str(folder / "d.ndjson.zst"), "zstd") as file:
        file.write(text.replace("e2", "e3").encode())
    pq.write_table(pa.Table.from_pylist(rows[:1]), folder / "dt=2026-06-29" / "e.parquet")
    (folder / "_SUCCESS").touch()
    (folder / "notes.md").write_text("no events")


def test_a_folder_of_every_layout_is_loaded_once(settings, tmp_path):
    folder = tmp_path / "logs"
    _write_kinds(folder)
    first = _collect(settings, folder)
    assert (first["loaded"], first["ignored"]) == (40, 2)
    assert first["repeated"] == 1, "the Parquet file holds an event of the JSON lines"
    assert _events(settings) == sorted(f"e{n}" for n in range(40))
    again = _collect(settings, folder)
    assert (again["known"], again["loaded"]) == (5, 0)
    assert len(_events(settings)) == 40
    [(state, blocks_done, size)] = _ask(
        settings,
        "SELECT state, blocks_done, size_bytes FROM intent.collected_files "
        "WHERE path LIKE '%/a.csv' AND path LIKE 'file://%'",
    )
    assert (state, blocks_done, size) == ("loaded", 1, (folder / "a.csv").stat().st_size)


def test_new_files_are_added_to_what_is_there(settings):
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/logs/1.csv", (HEADER + _lines(0, 5)).encode())
    try:
        assert _collect(settings, "memory://bucket/logs")["loaded"] == 5
        system.pipe("/bucket/logs/2.csv", (HEADER + _lines(3, 9)).encode())
        more = _collect(settings, "memory://bucket/logs/")
        assert (more["known"], more["loaded"], more["repeated"]) == (1, 5 - 1, 2)
        assert len(_events(settings)) == 9
    finally:
        system.rm("/bucket", recursive=True)


def test_lines_that_cannot_be_used_are_set_aside(settings, tmp_path):
    path = tmp_path / "events.csv"
    bad = [_line(1, type="fly"), _line(2, at="never"), _line(3, customer="a\0b"), "4,5\n"]
    path.write_text(HEADER + _line(0) + "".join(bad))
    assert _collect(settings, path)["quarantined"] == 4
    assert [row[1:] for row in _quarantined(settings)] == [
        (3, "e1", "event_type is unknown"),
        (4, "e2", "occurred_at cannot be read"),
        (5, "e3", "customer_id holds a NUL"),
        (6, None, "2 fields instead of 5"),
    ]
    assert _quarantined(settings)[0][0].endswith("/events.csv")
    assert _events(settings) == ["e0"]


def test_a_number_that_no_column_can_hold_is_set_aside(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        "event_id,customer_id,event_type,occurred_at,quantity\n"
        "e1,c,cart,2026-06-30,1\ne2,c,cart,2026-06-30,99999999999\n"
    )
    assert _collect(settings, path)["loaded"] == 1
    assert _quarantined(settings)[0][3] == "quantity cannot be read"


def test_events_without_an_id_get_one_of_file_and_line(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(ROCKET + f"1,2,view,{NOON}\n" * 2)
    _collect(settings, path, "retailrocket")
    ids = _events(settings)
    assert [i.split("-")[1] for i in ids] == ["2", "3"], "the same twice is two events"
    path.rename(tmp_path / "renamed.csv")
    renamed = _collect(settings, tmp_path / "renamed.csv", "retailrocket")
    assert renamed["copied"] == 1
    assert "has the content of" in renamed["said"][0]
    assert _events(settings) == ids


def test_what_the_rows_tell_about_products_is_kept_and_read_by_the_extract(settings, tmp_path):
    head = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,"
    head += "user_session\n"
    one, two = tmp_path / "1.csv", tmp_path / "2.csv"
    one.write_text(head + "2026-06-30 10:00:00 UTC,view,7,20,a.b,,5,u1,s\n")
    two.write_text(head + "2026-06-30 11:00:00 UTC,view,7,20,,Acme,6,u1,s\n")
    _collect(settings, tmp_path, "rees46")
    told = _ask(settings, "SELECT product_id, category_path, brand, price FROM shop.products")
    assert told == [("7", "20", "Acme", 6.0)]
    receipt = extract.run(settings.model_copy(update={"history_days": 2}), date(2026, 6, 30))
    assert receipt["rows_in_snapshot"] == 2


# ── What dies, changes or is broken ──────────────────────────────────────────────────────────────

KILLED = """
import os, signal, sys
from intent_tasks.formats import blocks
from intent_tasks.settings import load_settings
from intent_tasks.steps import collect
from intent_tasks.stores.collecting import collected

blocks.BLOCK_BYTES = 1000
count, where = int(sys.argv[2]), sys.argv[3]
advance = collected.advance

def dying(connection, url, before, after):
    if after.blocks_done == count and where == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    if before.blocks_done == count and where == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    advance(connection, url, before, after)

collected.advance = dying
collect.collect(load_settings(), sys.argv[1], "native", print)
"""


def _environment(settings):
    names = ("shop_url", "pipeline_url", "analyst_url", "migrator_url", "shop_owner_url",
             "identity_key", "manifest_key")  # fmt: skip
    secrets = {f"INTENT_{n.upper()}": getattr(settings, n).get_secret_value() for n in names}
    home = {"INTENT_HOME": str(settings.home), "INTENT_MLFLOW_URL": settings.mlflow_url}
    return os.environ | secrets | home


@pytest.mark.parametrize(("count", "where"), [(1, "before"), (3, "before"), (3, "after")])
def test_a_run_that_is_killed_in_a_file_goes_on_at_the_next_block(
    settings, tmp_path, monkeypatch, count, where
):
    path = tmp_path / "events.csv.gz"
    lines = [_line(n) for n in range(200)]
    lines[70] = _line(70, type="fly")
    path.write_bytes(gzip.compress((HEADER + "".join(lines)).encode()))
    command = [sys.executable, "-c", KILLED, str(path), str(count), where]
    done = subprocess.run(command, env=_environment(settings), capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = len(_events(settings))
    assert (before > 0) == (count > 1), "some blocks were committed"
    assert before < 199
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1500)  # blocks need not be the same ones
    rest = _collect(settings, path)
    assert rest["loaded"] == 199 - before
    assert rest["repeated"] == 0, "the next block, not the whole file again"
    assert _events(settings) == sorted(f"e{n}" for n in range(200) if n != 70)
    assert len(_quarantined(settings)) == 1
    counts = "SELECT rows_loaded, rows_quarantined, rows_repeated, last_row, state "
    assert _ask(settings, counts + "FROM intent.collected_files") == [(199, 1, 0, 201, "loaded")]


def test_a_file_that_changes_after_loading_is_named_and_nothing_is_taken_from_it(
    settings, tmp_path
):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + _lines(0, 3))
    _collect(settings, tmp_path)
    path.write_text(HEADER + _lines(0, 4))
    (tmp_path / "good.csv").write_text(HEADER + _line(9))
    with pytest.raises(Refused, match=r"events\.csv changed after 3 events of it were loaded"):
        _collect(settings, tmp_path)
    assert _events(settings) == ["e0", "e1", "e2", "e9"], "the good file is collected"


def test_a_file_that_was_only_touched_is_known(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + _lines(0, 3))
    _collect(settings, path)
    os.utime(path, (1, 1))
    assert _collect(settings, path)["known"] == 1


def test_a_file_that_was_broken_and_is_mended_is_loaded_from_the_beginning(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setattr(blocks, "BLOCK_ROWS", 100)
    rows = {"InvoiceNo": ["1"], "StockCode": ["a"], "Description": ["x"], "Quantity": [1]}
    rows |= {"InvoiceDate": ["2010-12-01 08:26"], "UnitPrice": [1.0], "CustomerID": ["7"]}
    path = tmp_path / "online.parquet"
    table = pa.table({name: values * 1000 for name, values in rows.items()})
    pq.write_table(table, path, row_group_size=100, compression="none", use_dictionary=False)
    whole = path.read_bytes()
    middle = whole.index(b"2010-12-01", len(whole) // 2)
    path.write_bytes(whole[: middle - 40] + b"\xff" * 80 + whole[middle + 40 :])
    with pytest.raises(BadInput, match=r"online\.parquet cannot be read as parquet"):
        _collect(settings, path, "online_retail")
    some = _events(settings)
    assert 0 < len(some) < 1000
    path.write_bytes(whole)
    assert _collect(settings, path, "online_retail")["loaded"] == 1000
    assert len(_events(settings)) == 1000
    assert not set(some) & set(_events(settings)), "those of the broken file are gone"


def test_two_runs_at_once_do_not_load_a_block_twice(settings, tmp_path, monkeypatch):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + _lines(0, 5))
    load_block = collect._Work._load_block

    def late(work, before, batch):
        monkeypatch.setattr(collect._Work, "_load_block", load_block)
        _collect(settings, path)
        return load_block(work, before, batch)

    monkeypatch.setattr(collect._Work, "_load_block", late)
    with pytest.raises(TemporaryFailure, match="Another run collects"):
        _collect(settings, path)
    assert _ask(settings, "SELECT rows_loaded FROM intent.collected_files") == [(5,)]
    assert len(_events(settings)) == 5


def test_a_database_that_gives_up_in_a_block_leaves_nothing_of_it_and_can_be_tried_again(
    settings, tmp_path, monkeypatch
):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + _lines(0, 3) + _line(4, type="fly"))
    with postgres.changing(settings.shop_owner_url, "collect") as connection:
        landing.prepare(connection)
    copy_in = postgres.copy_in

    def impatient(connection, table, rows):
        connection.exec_driver_sql("SET LOCAL lock_timeout = 20")
        return copy_in(connection, table, rows)

    with monkeypatch.context() as patch:
        patch.setattr(postgres, "copy_in", impatient)
        with postgres.changing(settings.shop_owner_url, "test") as other:
            other.exec_driver_sql("LOCK TABLE shop.events IN SHARE MODE")
            with pytest.raises(TemporaryFailure, match=r"lock timeout\. .*can simply be run again"):
                _collect(settings, path)
    assert (_events(settings), _quarantined(settings)) == ([], [])
    assert _collect(settings, path)["loaded"] == 3
    assert len(_quarantined(settings)) == 1


# ── The shop it lands in ─────────────────────────────────────────────────────────────────────────


def test_a_simulated_shop_and_a_view_are_not_mixed_with_collected_events(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + _lines(0, 3))
    shop.load(settings, "simulated shop", "digest", [])
    with pytest.raises(Refused, match="Another shop is loaded here"):
        _collect(settings, path)
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql("ALTER TABLE shop.events RENAME TO kept")
        connection.exec_driver_sql("CREATE VIEW shop.events AS SELECT * FROM shop.kept")
    with pytest.raises(Refused, match=r"shop\.events is a view"):
        _collect(settings, path)


def test_a_table_of_the_shops_own_gets_the_columns_that_it_has(settings, tmp_path):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql(
            "CREATE TABLE shop.events (event_id text, customer_id text, event_type text, "
            "occurred_at timestamptz)"
        )
        connection.exec_driver_sql("INSERT INTO shop.events (event_id) VALUES ('e1'), ('e1')")
    path = tmp_path / "events.csv"
    path.write_text(HEADER + _lines(0, 3))
    with pytest.raises(Refused, match=r"event_id twice .*e1"):
        _collect(settings, path)
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql("DELETE FROM shop.events")
    assert _collect(settings, path)["loaded"] == 3


def test_a_rule_of_the_shops_own_table_is_named(settings, tmp_path):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql(
            "CREATE TABLE shop.events (event_id text PRIMARY KEY, customer_id text, "
            "event_type text, occurred_at timestamptz, CONSTRAINT cheap CHECK (event_id <> 'e2'))"
        )
    path = tmp_path / "events.csv"
    path.write_text(HEADER + _lines(0, 3))
    with pytest.raises(Refused, match=r"does not take the events: .*\"cheap\""):
        _collect(settings, path)
    assert _events(settings) == []


def test_one_file_can_be_asked_to_be_the_whole_shop(settings, tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(HEADER + _lines(0, 3))
    two.write_text(HEADER + _lines(3, 6))
    assert _collect(settings, one, alone=True)["loaded"] == 3
    assert _collect(settings, one, alone=True)["known"] == 1
    with pytest.raises(Refused, match=r"Another shop is loaded here .*one\.csv"):
        _collect(settings, two, alone=True)


def test_an_installation_that_may_only_read_the_shop_says_so(settings, tmp_path):
    reader = settings.model_copy(update={"shop_owner_url": None})
    with pytest.raises(Refused, match="INTENT_SHOP_OWNER_URL is not set"):
        _collect(reader, tmp_path)


def test_the_step_collects_what_the_settings_name(settings, tmp_path):
    (tmp_path / "events.csv").write_text(HEADER + _lines(0, 3))
    day = date(2026, 6, 30)
    with pytest.raises(NothingToDo, match="INTENT_COLLECT_URL is not set"):
        run_step(settings, "collect", day, {})
    placed = settings.model_copy(update={"collect_url": str(tmp_path)})
    with pytest.raises(BadInput, match="INTENT_COLLECT_FORMAT is not set"):
        run_step(placed, "collect", day, {})
    named = placed.model_copy(update={"collect_format": "native"})
    receipt = run_step(named, "collect", day, {})
    assert (receipt["files_loaded"], receipt["rows_loaded"]) == (1, 3)
    assert postgres.receipt_of(settings, "collect", day) == receipt


def test_an_erased_customer_is_not_collected_again(settings, tmp_path):
    from intent_tasks.stores.privacy import erasure

    erasure.erase(settings, ["c1"])
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text(HEADER + _lines(0, 14) + _line(15, type="fly") + _line(16))
    found = _collect(settings, folder)
    assert (found["loaded"], found["quarantined"]) == (13, 0)
    assert _ask(settings, "SELECT DISTINCT customer_id FROM shop.events WHERE customer_id = 'c1'"
                ) == []  # fmt: skip
    assert _ask(settings, "SELECT rows_ignored FROM intent.collected_files") == [(3,)]
