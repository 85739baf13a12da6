"""Whatever dies, changes or breaks while files are collected: nothing is lost or loaded twice."""

import gzip
import os
import signal
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.errors import BadInput, TemporaryFailure
from intent_tasks.formats import blocks
from intent_tasks.steps import collect
from intent_tasks.stores import postgres
from intent_tasks.stores.collecting import landing
from tests.database.collecting import HEADER, ask, collected, events, line, lines, quarantined

pytestmark = pytest.mark.database


KILLED = """
import os, signal, sys
from intent_tasks.formats import blocks
from intent_tasks.settings import load_settings
from intent_tasks.steps import collect
from intent_tasks.stores.collecting import file_ledger

blocks.BLOCK_BYTES = 1000
count, where = int(sys.argv[2]), sys.argv[3]
advance = file_ledger.advance

def dying(connection, url, before, after):
    if after.blocks_done == count and where == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    if before.blocks_done == count and where == "after":
        os.kill(os.getpid(), signal.SIGKILL)
    advance(connection, url, before, after)

file_ledger.advance = dying
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
    lines = [line(n) for n in range(200)]
    lines[70] = line(70, type="fly")
    path.write_bytes(gzip.compress((HEADER + "".join(lines)).encode()))
    command = [sys.executable, "-c", KILLED, str(path), str(count), where]
    done = subprocess.run(command, env=_environment(settings), capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    before = len(events(settings))
    assert (before > 0) == (count > 1), "some blocks were committed"
    assert before < 199
    monkeypatch.setattr(blocks, "BLOCK_BYTES", 1500)  # blocks need not be the same ones
    rest = collected(settings, path)
    assert rest["loaded"] == 199 - before
    assert rest["repeated"] == 0, "the next block, not the whole file again"
    assert events(settings) == sorted(f"e{n}" for n in range(200) if n != 70)
    assert len(quarantined(settings)) == 1
    counts = "SELECT rows_loaded, rows_quarantined, rows_repeated, last_row, state "
    assert ask(settings, counts + "FROM intent.collected_files") == [(199, 1, 0, 201, "loaded")]


def test_a_file_that_was_only_touched_is_known(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + lines(0, 3))
    collected(settings, path)
    os.utime(path, (1, 1))
    assert collected(settings, path)["known"] == 1


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
        collected(settings, path, "online_retail")
    some = events(settings)
    assert 0 < len(some) < 1000
    path.write_bytes(whole)
    assert collected(settings, path, "online_retail")["loaded"] == 1000
    assert len(events(settings)) == 1000
    assert not set(some) & set(events(settings)), "those of the broken file are gone"


def test_two_runs_at_once_do_not_load_a_block_twice(settings, tmp_path, monkeypatch):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + lines(0, 5))
    load_block = collect._FileLoad._load_block

    def late(work, before, batch):
        monkeypatch.setattr(collect._FileLoad, "_load_block", load_block)
        collected(settings, path)
        return load_block(work, before, batch)

    monkeypatch.setattr(collect._FileLoad, "_load_block", late)
    with pytest.raises(TemporaryFailure, match="Another run collects"):
        collected(settings, path)
    assert ask(settings, "SELECT rows_loaded FROM intent.collected_files") == [(5,)]
    assert len(events(settings)) == 5


def test_a_database_that_gives_up_in_a_block_leaves_nothing_of_it_and_can_be_tried_again(
    settings, tmp_path, monkeypatch
):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + lines(0, 3) + line(4, type="fly"))
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
                collected(settings, path)
    assert (events(settings), quarantined(settings)) == ([], [])
    assert collected(settings, path)["loaded"] == 3
    assert len(quarantined(settings)) == 1
