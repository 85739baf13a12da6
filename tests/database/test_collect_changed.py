"""A file that comes again is loaded for what is new, and each of its rows is accounted for."""

import json
from datetime import date

import pytest

from intent_tasks.errors import BadInput, IntentError
from intent_tasks.formats import blocks
from intent_tasks.steps import collect, run_step
from intent_tasks.stores import postgres
from intent_tasks.stores.extracting import quarantine
from tests.database.collecting import HEADER, ask, collected, events, line, lines, quarantined

pytestmark = pytest.mark.database

ROCKET = "user_id,item_id,event,ts\n"
NOON = 1782820800  # 2026-06-30 12:00 UTC

LEDGER = (
    "SELECT rows_read, rows_loaded, rows_repeated, rows_quarantined, rows_gone, state "
    "FROM intent.collected_files"
)


def test_a_file_that_grows_is_loaded_for_what_is_new(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + lines(0, 3))
    collected(settings, tmp_path)
    path.write_text(HEADER + lines(0, 5) + line(9, type="fly"))
    (tmp_path / "good.csv").write_text(HEADER + line(10))
    found = collected(settings, tmp_path)
    assert (found["loaded"], found["repeated"], found["quarantined"]) == (3, 3, 1)
    assert events(settings) == ["e0", "e1", "e10", "e2", "e3", "e4"]
    assert ask(settings, f"{LEDGER} WHERE path LIKE '%events.csv'") == [(6, 2, 3, 1, 0, "loaded")]
    assert any("2 events are new, 3 were loaded before" in text for text in found["messages"])
    second = collected(settings, tmp_path)
    assert (second["known"], second["loaded"], second["repeated"]) == (2, 0, 0)


def test_events_that_a_file_no_longer_holds_stay_and_are_counted(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + lines(0, 5))
    collected(settings, path)
    path.write_text(HEADER + lines(2, 6))
    totals = collect.collect(settings, str(path), "native", lambda _: None)
    assert "2 events are no longer in their file, and stay" in totals.summary()
    assert events(settings) == [f"e{n}" for n in range(6)]
    assert ask(settings, LEDGER) == [(4, 1, 3, 0, 2, "loaded")]
    path.write_text(HEADER + lines(2, 7))
    assert collected(settings, path)["loaded"] == 1
    assert ask(settings, LEDGER) == [(5, 1, 4, 0, 0, "loaded")], "all of the content before"


def test_another_event_under_a_known_id_is_set_aside_and_not_taken_for_the_same(settings, tmp_path):
    (tmp_path / "1.csv").write_text(HEADER + lines(0, 4))
    collected(settings, tmp_path)
    other = line(1, type="purchase", price=19) + line(2) + line(3, customer="cx") + line(4)
    (tmp_path / "2.csv").write_text(HEADER + other)
    found = collected(settings, tmp_path)
    assert (found["loaded"], found["repeated"], found["quarantined"]) == (1, 1, 2)
    rule = "event_id comes twice with other content"
    assert [row[1:] for row in quarantined(settings)] == [(2, "e1", rule), (4, "e3", rule)]
    stored = ask(settings, "SELECT event_type, price FROM shop.events WHERE event_id = 'e1'")
    assert stored == [("view", 1)]


@pytest.mark.parametrize("block_bytes", [16 << 20, 60])
def test_rows_without_ids_are_known_by_what_they_say(settings, tmp_path, monkeypatch, block_bytes):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block_bytes)
    path = tmp_path / "events.csv"
    same = f"1,2,view,{NOON}\n"
    path.write_text(ROCKET + same * 2 + f"3,4,view,{NOON}\n5,6,addtocart,{NOON}\n")
    collected(settings, path, "retailrocket")
    first = events(settings)
    path.write_text(ROCKET + f"7,8,view,{NOON}\n" + same * 3 + f"5,6,addtocart,{NOON}\n9,9,fly,1\n")
    found = collected(settings, path, "retailrocket")
    assert (found["loaded"], found["repeated"], found["quarantined"]) == (2, 3, 1)
    assert ask(settings, LEDGER) == [(6, 2, 3, 1, 1, "loaded")]
    assert set(first) < set(events(settings))
    query = "SELECT customer_id, count(*) FROM shop.events GROUP BY 1 ORDER BY 1"
    assert ask(settings, query) == [("1", 3), ("3", 1), ("5", 1), ("7", 1)]
    path.write_text(path.read_text() + same)
    assert collected(settings, path, "retailrocket")["loaded"] == 1
    assert ask(settings, query)[0] == ("1", 4)


def test_a_copy_that_changes_takes_nothing_from_the_file_it_was_a_copy_of(settings, tmp_path):
    one, two = tmp_path / "1.csv", tmp_path / "2.csv"
    one.write_text(ROCKET + f"1,2,view,{NOON}\n")
    two.write_text(one.read_text())
    assert collected(settings, tmp_path, "retailrocket")["copied"] == 1
    two.write_text(ROCKET + f"3,4,view,{NOON}\n")
    collected(settings, tmp_path, "retailrocket")
    assert ask(settings, "SELECT customer_id FROM shop.events ORDER BY 1") == [("1",), ("3",)]


def test_every_row_is_accounted_for_in_ledger_receipt_and_sentence(settings, tmp_path):
    path = tmp_path / "events.csv"
    stray = line(5, customer='"c 24 inch')
    path.write_text(HEADER + lines(0, 5) + stray + lines(6, 9) + line(1) + "1,2\n")
    totals = collect.collect(settings, str(path), "native", lambda _: None)
    [(read, loaded, repeated, aside, _, _)] = ask(settings, LEDGER)
    assert (read, loaded, repeated, aside) == (11, 8, 1, 2)
    assert "8 events loaded, 1 were there already" in totals.summary()
    assert "11 rows read." in totals.summary()
    placed = {"collect_url": str(path), "collect_format": "native"}
    receipt = run_step(settings.model_copy(update=placed), "collect", date(2026, 6, 30), {})
    assert (receipt["files_known"], receipt["rows_read"]) == (1, 0)


def test_values_that_cannot_be_read_are_in_ledger_and_warning(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + line(1, type="purchase", price="19 dollars") + lines(2, 4))
    messages = []
    totals = collect.collect(settings, str(path), "native", messages.append)
    query = "SELECT values_unreadable FROM intent.collected_files"
    assert ask(settings, query) == [({"price": 1},)]
    assert "WARNING: price of 1 events cannot be read and is null; revenue" in totals.summary()
    assert "row 2 of file://" in totals.summary()
    assert any("null because they cannot be read: price 1" in text for text in messages)
    assert ask(settings, "SELECT price FROM shop.events WHERE event_id = 'e1'") == [(None,)]


def test_a_fault_of_ours_costs_one_file_and_ends_the_run_by_its_name(
    settings, tmp_path, monkeypatch
):
    (tmp_path / "a.csv").write_text(HEADER + lines(0, 3))
    (tmp_path / "b.csv").write_text(HEADER + lines(3, 6))
    add = collect.quarantine.add

    def broken(connection, source, rows):
        if source.endswith("a.csv"):
            raise TypeError("no such thing")
        return add(connection, source, rows)

    monkeypatch.setattr(collect.quarantine, "add", broken)
    with pytest.raises(
        IntentError, match=r"1 of 2 .*a\.csv could not be collected.*TypeError"
    ) as it:
        collected(settings, tmp_path)
    assert it.value.exit_code == 1
    assert events(settings) == ["e3", "e4", "e5"]


def test_files_that_no_reader_takes_are_named_and_the_others_loaded(settings, tmp_path):
    good = {"event_id": "g", "customer_id": "c", "event_type": "view", "occurred_at": "2026-06-30"}
    (tmp_path / "good.jsonl").write_text(json.dumps(good))
    half = json.dumps(good | {"event_id": "h", "query_text": "half"}).replace("half", "\\ud83d")
    deep = '{"event_id": ' + "[" * 100_000 + "]" * 100_000 + "}"
    whole = json.dumps(good | {"event_id": "w"})
    (tmp_path / "mixed.jsonl").write_text(f"{half}\n{deep}\n{whole}\n")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1" + b"\0" * 64 + b"PAR1")
    (tmp_path / "none.csv.gz").write_bytes(b"no gzip")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "folder.csv" / "inner.csv").write_text(HEADER + line(1))
    with pytest.raises(BadInput, match=r"2 of 5 files .*broken\.parquet.*none\.csv\.gz"):
        collected(settings, tmp_path)
    assert events(settings) == ["e1", "g", "w"]
    assert [row[1::2] for row in quarantined(settings)] == [
        (1, "query_text is no UTF-8"),
        (2, "the line is nested too deeply"),
    ]


def test_what_was_decided_about_a_row_holds_when_its_file_comes_again(settings, tmp_path):
    path = tmp_path / "events.csv"
    bad = [line(n, type="fly") for n in range(3)]
    path.write_text(HEADER + lines(10, 15) + "".join(bad))
    collected(settings, path)
    with postgres.changing(settings.pipeline_url, "quarantine") as connection:
        rows = quarantine.find(connection, row=None)
        quarantine.decide(connection, rows[:1], quarantine.DROPPED, "me", "a test of ours")
    path.write_text(HEADER + line(9) + lines(10, 15) + "".join(bad[::-1]) + line(4, type="fly"))
    for _ in range(2):
        collected(settings, path)
        query = "SELECT row_number, row_key, state FROM intent.quarantine ORDER BY 1"
        assert ask(settings, query) == [
            (8, "e2", "held"), (9, "e1", "held"), (10, "e0", "dropped"), (11, "e4", "held"),
        ]  # fmt: skip
    path.write_text(HEADER + lines(10, 15))
    collected(settings, path)
    assert ask(settings, query) == [(-1, "e0", "dropped")], "the decision stays"
