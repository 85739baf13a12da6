"""Files of events land in the shop: each once, in whatever shop it is."""

import gzip
import json
from datetime import UTC, date, datetime, timedelta

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from intent_tasks.errors import BadInput, NothingToDo, Refused
from intent_tasks.steps import collect, extract, run_step
from intent_tasks.stores import ledger, postgres, simulated_shop
from tests.database.collecting import HEADER, ask, collected, events, line, lines, quarantined

pytestmark = pytest.mark.database

ROCKET = "user_id,item_id,event,ts\n"
NOON = 1782820800  # 2026-06-30 12:00 UTC


def _write_kinds(folder):
    """Write the same kind of rows in every layout, compressed or not, plain or partitioned."""
    (folder / "dt=2026-06-29").mkdir(parents=True)
    (folder / "a.csv").write_text(HEADER + lines(0, 10))
    (folder / "dt=2026-06-29" / "b.csv.gz").write_bytes(
        gzip.compress((HEADER + lines(10, 20)).encode())
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
    first = collected(settings, folder)
    assert (first["loaded"], first["ignored"]) == (40, 2)
    assert first["repeated"] == 1, "the Parquet file holds an event of the JSON lines"
    assert events(settings) == sorted(f"e{n}" for n in range(40))
    second = collected(settings, folder)
    assert (second["known"], second["loaded"]) == (5, 0)
    assert len(events(settings)) == 40
    [(state, blocks_done, size)] = ask(
        settings,
        "SELECT state, blocks_done, size_bytes FROM intent.collected_files "
        "WHERE path LIKE '%/a.csv' AND path LIKE 'file://%'",
    )
    assert (state, blocks_done, size) == ("loaded", 1, (folder / "a.csv").stat().st_size)


def test_new_files_are_added_to_what_is_there(settings):
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/logs/1.csv", (HEADER + lines(0, 5)).encode())
    try:
        assert collected(settings, "memory://bucket/logs")["loaded"] == 5
        system.pipe("/bucket/logs/2.csv", (HEADER + lines(3, 9)).encode())
        more = collected(settings, "memory://bucket/logs/")
        assert (more["known"], more["loaded"], more["repeated"]) == (1, 5 - 1, 2)
        assert len(events(settings)) == 9
    finally:
        system.rm("/bucket", recursive=True)


def test_lines_that_cannot_be_used_are_set_aside(settings, tmp_path):
    path = tmp_path / "events.csv"
    bad = [line(1, type="fly"), line(2, at="never"), line(3, customer="a\0b"), "4,5\n"]
    path.write_text(HEADER + line(0) + "".join(bad))
    assert collected(settings, path)["quarantined"] == 4
    assert [row[1:] for row in quarantined(settings)] == [
        (3, "e1", "event_type is unknown"),
        (4, "e2", "occurred_at cannot be read"),
        (5, "e3", "customer_id holds a NUL"),
        (6, None, "2 fields instead of 5"),
    ]
    assert quarantined(settings)[0][0].endswith("/events.csv")
    assert events(settings) == ["e0"]


def test_a_file_that_is_mostly_not_in_its_format_is_refused_before_anything_is_loaded(
    settings, tmp_path
):
    path = tmp_path / "events.csv"
    bad = [line(n, type="fly") for n in range(20)] + [line(n, at="never") for n in range(2)]
    path.write_text(HEADER + "".join(bad) + lines(30, 50))
    with pytest.raises(
        BadInput,
        match=r"22 of its first 42 rows cannot be used, first that in line 2\. .*"
        r"event_type is unknown: 20, occurred_at cannot be read: 2\. .*_COLLECT_QUARANTINE_SHARE",
    ):
        collected(settings, path)
    assert (events(settings), quarantined(settings)) == ([], [])
    lenient = settings.model_copy(update={"collect_quarantine_share": 0.6})
    found = collected(lenient, path)
    assert (found["loaded"], found["quarantined"]) == (20, 22)


def test_what_became_of_the_other_files_is_said_before_what_is_refused(settings, tmp_path):
    (tmp_path / "a.csv").write_text(HEADER + lines(0, 3) + line(4, type="fly"))
    (tmp_path / "b.csv").write_text("a,b\n1,2\n")
    messages = []
    with pytest.raises(BadInput, match=r"1 of 2 files cannot be used; .*b\.csv is not in this"):
        collect.collect(settings, str(tmp_path), "native", messages.append)
    assert messages[-1].startswith("1 files collected, 0 known before: 3 events loaded")
    assert "1 set aside" in messages[-1]


def test_a_field_that_no_row_has_is_named_once(settings, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(
        'about = "Ours."\n[[shapes]]\n[shapes.events]\ncustomer_id = "user"\n'
        'occurred_at = { field = "at", time = "iso" }\nevent_type = { constant = "view" }\n'
        'product_id = "itm"\nprice = { fields = ["paid", "cost"] }\n'
        '[shapes.products]\nproduct_id = "item"\ntitle = "name"\n'
    )
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text("user,at,item,cost\na,2026-06-30,p,1\n")
    (folder / "b.jsonl").write_text('{"user": "b", "at": "2026-06-30", "item": "p", "cost": null}')
    messages = collected(settings, folder, str(own))["messages"]
    assert [text.split(" no row ")[1] for text in messages if " no row " in text] == [
        "of its first block has product_id (itm), products.title (name): left empty.",
        "of its first block has price (paid or cost): left empty.",
    ]


def test_a_known_file_tells_when_another_format_is_asked_for(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + lines(0, 3))
    with pytest.raises(BadInput, match="lacks user_id, event_time"):
        collected(settings, path, "rees46")
    collected(settings, path)
    assert ask(settings, "SELECT format FROM intent.collected_files") == [("native",)]
    totals = collect.collect(settings, str(path), "rees46", lambda _: None)
    assert "1 known before (1 in another format; they stay as they were read)" in totals.summary()
    totals = collect.collect(settings, str(path), "native", lambda _: None)
    assert "1 known before: 0 events" in totals.summary()


def test_what_happens_in_the_future_is_set_aside(settings, tmp_path):
    now = datetime.now(UTC)
    path = tmp_path / "events.csv"
    times = [now + timedelta(hours=hours) for hours in (-1, 23, 25)]
    path.write_text(HEADER + "".join(line(n, at=at.isoformat()) for n, at in enumerate(times)))
    assert collected(settings, path)["loaded"] == 2
    assert [row[1:] for row in quarantined(settings)] == [(4, "e2", "occurred_at is in the future")]


def test_it_says_what_is_passed_over_and_how_many_events_a_file_had(settings, tmp_path):
    for name in ("old/a.csv.xz", "b.zip", "_SUCCESS"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "c.csv").write_text(HEADER + lines(0, 3) + line(4, type="fly"))
    found = collected(settings, tmp_path)
    assert found["ignored"] == 3
    first, absent, last = found["messages"]
    assert "has session_id, product_id, quantity, " in absent
    assert first.startswith("Passed over: b.zip, old/a.csv.xz (2 in all). Names of files of events")
    assert "c.csv: 3 events, 1 set aside in " in last


def test_rows_that_are_no_events_do_not_make_a_file_usable(settings, tmp_path):
    own = tmp_path / "own.toml"
    own.write_text(
        'about = "Ours."\n[[shapes]]\n[shapes.events]\nevent_id = "event_id"\n'
        'customer_id = "customer_id"\noccurred_at = { field = "occurred_at", time = "iso" }\n'
        'event_type = { field = "event_type", map = { view = "view" }, others = "ignore" }\n'
    )
    path = tmp_path / "events.csv"
    ignored = "".join(line(n, type="fly") for n in range(100))
    path.write_text(HEADER + ignored + "".join(line(n, at="never") for n in range(11)) + line(200))
    with pytest.raises(BadInput, match="11 of its first 12 rows"):
        collected(settings, path, str(own))


def test_a_number_that_no_column_can_hold_is_set_aside(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(
        "event_id,customer_id,event_type,occurred_at,quantity\n"
        "e1,c,cart,2026-06-30,1\ne2,c,cart,2026-06-30,99999999999\n"
    )
    assert collected(settings, path)["loaded"] == 1
    assert quarantined(settings)[0][3] == "quantity cannot be read"


def test_events_without_an_id_get_one_of_file_and_line(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(ROCKET + f"1,2,view,{NOON}\n" * 2)
    collected(settings, path, "retailrocket")
    ids = events(settings)
    assert [i.split("-")[1] for i in ids] == ["2", "3"], "the same twice is two events"
    path.rename(tmp_path / "renamed.csv")
    renamed = collected(settings, tmp_path / "renamed.csv", "retailrocket")
    assert renamed["copied"] == 1
    assert "has the content of" in renamed["messages"][0]
    assert events(settings) == ids


def test_what_the_rows_tell_about_products_is_kept_and_read_by_the_extract(settings, tmp_path):
    head = "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,"
    head += "user_session\n"
    one, two = tmp_path / "1.csv", tmp_path / "2.csv"
    one.write_text(head + "2026-06-30 10:00:00 UTC,view,7,20,a.b,,5,u1,s\n")
    two.write_text(head + "2026-06-30 11:00:00 UTC,view,7,20,,Acme,6,u1,s\n")
    collected(settings, tmp_path, "rees46")
    rows = ask(settings, "SELECT product_id, category_path, brand, price FROM shop.products")
    assert rows == [("7", "20", "Acme", 6.0)]
    receipt = extract.run(settings.model_copy(update={"history_days": 2}), date(2026, 6, 30))
    assert receipt["rows_in_snapshot"] == 2


# ── The shop it lands in ─────────────────────────────────────────────────────────────────────────


def test_a_simulated_shop_and_a_view_are_not_mixed_with_collected_events(settings, tmp_path):
    path = tmp_path / "events.csv"
    path.write_text(HEADER + lines(0, 3))
    simulated_shop.load(settings, "simulated shop", "digest", [])
    with pytest.raises(Refused, match="Another shop is loaded here"):
        collected(settings, path)
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql("ALTER TABLE shop.events RENAME TO kept")
        connection.exec_driver_sql("CREATE VIEW shop.events AS SELECT * FROM shop.kept")
    with pytest.raises(Refused, match=r"shop\.events is a view"):
        collected(settings, path)


def test_a_table_of_the_shops_own_gets_the_columns_that_it_has(settings, tmp_path):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql(
            "CREATE TABLE shop.events (event_id text, customer_id text, event_type text, "
            "occurred_at timestamptz)"
        )
        connection.exec_driver_sql("INSERT INTO shop.events (event_id) VALUES ('e1'), ('e1')")
    path = tmp_path / "events.csv"
    path.write_text(HEADER + lines(0, 3))
    with pytest.raises(Refused, match=r"event_id twice .*e1"):
        collected(settings, path)
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql("DELETE FROM shop.events")
    assert collected(settings, path)["loaded"] == 3


def test_a_rule_of_the_shops_own_table_is_named(settings, tmp_path):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql(
            "CREATE TABLE shop.events (event_id text PRIMARY KEY, customer_id text, "
            "event_type text, occurred_at timestamptz, CONSTRAINT cheap CHECK (event_id <> 'e2'))"
        )
    path = tmp_path / "events.csv"
    path.write_text(HEADER + lines(0, 3))
    with pytest.raises(Refused, match=r"does not take the events: .*\"cheap\""):
        collected(settings, path)
    assert events(settings) == []


def test_one_file_can_be_asked_to_be_the_whole_shop(settings, tmp_path):
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    one.write_text(HEADER + lines(0, 3))
    two.write_text(HEADER + lines(3, 6))
    assert collected(settings, one, alone=True)["loaded"] == 3
    assert collected(settings, one, alone=True)["known"] == 1
    with pytest.raises(Refused, match=r"Another shop is loaded here .*one\.csv"):
        collected(settings, two, alone=True)


def test_an_installation_that_may_only_read_the_shop_says_so(settings, tmp_path):
    reader = settings.model_copy(update={"shop_owner_url": None})
    with pytest.raises(Refused, match="INTENT_SHOP_OWNER_URL is not set"):
        collected(reader, tmp_path)


def test_the_step_collects_what_the_settings_name(settings, tmp_path):
    (tmp_path / "events.csv").write_text(HEADER + lines(0, 3))
    day = date(2026, 6, 30)
    with pytest.raises(NothingToDo, match="INTENT_COLLECT_URL is not set"):
        run_step(settings, "collect", day, {})
    placed = settings.model_copy(update={"collect_url": str(tmp_path)})
    with pytest.raises(BadInput, match="INTENT_COLLECT_FORMAT is not set"):
        run_step(placed, "collect", day, {})
    named = placed.model_copy(update={"collect_format": "native"})
    receipt = run_step(named, "collect", day, {})
    assert (receipt["files_loaded"], receipt["rows_loaded"]) == (1, 3)
    assert ledger.receipt_of(settings, "collect", day) == receipt


def test_an_erased_customer_is_not_collected_again(settings, tmp_path):
    from intent_tasks.stores.privacy import erasure

    erasure.erase(settings, ["c1"])
    folder = tmp_path / "logs"
    folder.mkdir()
    (folder / "a.csv").write_text(HEADER + lines(0, 14) + line(15, type="fly") + line(16))
    found = collected(settings, folder)
    assert (found["loaded"], found["quarantined"]) == (13, 0)
    assert ask(settings, "SELECT DISTINCT customer_id FROM shop.events WHERE customer_id = 'c1'"
                ) == []  # fmt: skip
    assert ask(settings, "SELECT rows_ignored FROM intent.collected_files") == [(3,)]


def test_a_customer_who_is_hardly_one_is_named(settings, tmp_path):
    path = tmp_path / "log.csv"
    ids = ["u"] * 12 + ["0"] * 10 + ["guest"] * 9
    path.write_text(HEADER + "".join(line(n, customer=name) for n, name in enumerate(ids)))
    messages = collected(settings, path)["messages"]
    named = [text for text in messages if "events are of one customer" in text]
    assert len(named) == 1
    assert "10 events are of one customer, '0': if that is nobody, list it as `missing`" in named[0]


def test_a_copy_of_an_event_of_several_rows_is_left_out_whole_in_any_file(settings, tmp_path):
    own = tmp_path / "ours.toml"
    own.write_text(
        'about = "Ours."\n[[shapes]]\nfill_down = { by = "order", fields = ["who", "at"] }\n'
        '[shapes.events]\nevent_id = "order"\ncustomer_id = "who"\nproduct_id = "sku"\n'
        'event_type = { constant = "purchase" }\noccurred_at = { field = "at", time = "iso" }\n'
    )
    head, order = "order,who,at,sku\n", "1,a,2026-06-30,A\n,,,B\n"
    (tmp_path / "1.csv").write_text(f"{head}{order}2,b,2026-06-30,A\n")
    assert collected(settings, tmp_path / "1.csv", str(own))["loaded"] == 3
    for name, text in (("2.csv", f"{order},,,C\n"), ("3.csv", "1,a,2026-06-30,A\n")):
        (tmp_path / name).write_text(f"{head}{text}3,c,2026-06-30,A\n")
        collected(settings, tmp_path / name, str(own))
    assert events(settings) == ["1", "1/1", "2", "3"]


def test_the_intraday_and_the_daily_table_are_one_day(settings, tmp_path):
    def hits(numbers, medium):
        return "".join(
            json.dumps({
                "event_timestamp": str(1795168800000000 + n), "event_name": "view_item",
                "user_pseudo_id": f"7.{n % 3}", "event_bundle_sequence_id": str(n),
                "traffic_source": {"medium": medium}, "items": [{"item_id": "A"}],
            }) + "\n" for n in numbers
        )  # fmt: skip

    (tmp_path / "events_20261120.json").write_text(hits(range(20), "cpc"))
    (tmp_path / "events_intraday_20261120.json").write_text(hits(range(15), None))
    done = collected(settings, tmp_path, "ga4")
    assert (done["loaded"], done["repeated"]) == (20, 15)
