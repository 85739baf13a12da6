"""An erased customer is in no table and no file, stays out, and nothing else changes."""

import json
from datetime import timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from intent_tasks.errors import BadInput, NothingToDo, Refused, TemporaryFailure
from intent_tasks.steps import erase, extract, mature, publish
from intent_tasks.stores import identity_keys, ledger, postgres, snapshots
from intent_tasks.stores.privacy import erasure, personal_data
from tests.database.conftest import CUSTOMERS, DAY, add, event, pin, score

pytestmark = pytest.mark.database

GONE = CUSTOMERS[3]
NEXT = DAY + timedelta(days=2)


def run_sql(settings, statement, **values):
    with postgres.changing(settings.pipeline_url, "test") as connection:
        found = connection.execute(sa.text(statement), values)
        return [tuple(row) for row in found] if found.returns_rows else []


@pytest.fixture
def lived_in(small_shop):
    """A shop in which GONE is in every place that the register names."""
    small_shop = small_shop.model_copy(update={"history_days": 4})
    add(small_shop, [event("odd", GONE, DAY, kind="fly"), event("buys", GONE, DAY, "purchase")])
    for day in (DAY, NEXT):
        extract.run(small_shop, day)
        pin(small_shop, day)
        score(small_shop, day)
        publish.run(small_shop, day)
    mature.run(small_shop, NEXT)
    with postgres.changing(small_shop.shop_owner_url, "test") as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM shop.customers")) == len(CUSTOMERS)
    keys = identity_keys.keys(small_shop, CUSTOMERS).to_pylist()
    folder = small_shop.home / "training" / "2026-06-01"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"customer_key": keys}), folder / "test.parquet")
    lists = small_shop.home / "exports"
    lists.mkdir()
    pq.write_table(pa.table({"customer_id": CUSTOMERS}), lists / "a.parquet")
    (lists / "b.csv").write_text("customer_id,band\n" + "".join(f"{c},hot\n" for c in CUSTOMERS))
    return small_shop


def hits(settings, customer=GONE):
    """Return where the id or the key of a customer still is, tombstones left out."""
    needles = [customer, identity_keys.keys(settings, [customer])[0].as_py()]
    found = []
    with postgres.engine(settings.migrator_url).connect() as connection:
        tables = sa.text(
            "SELECT c.oid::regclass::text FROM pg_class c WHERE relkind = 'r' "
            "AND relnamespace IN ('intent'::regnamespace)"
        )
        for table in connection.scalars(tables).all():
            rows = connection.scalars(sa.text(f"SELECT t::text FROM {table} t")).all()
            is_tombstone = table in {place.table.fullname for place in personal_data.TOMBSTONES}
            if not is_tombstone and any(needle in row for needle in needles for row in rows):
                found.append(table)
    with postgres.reading(settings.shop_owner_url) as connection:
        for table in ("events", "customers"):
            rows = connection.scalars(sa.text(f"SELECT t::text FROM shop.{table} t"))
            if any(needle in row for row in rows for needle in needles):
                found.append(f"shop.{table}")
    for path in settings.home.rglob("*"):
        if path.is_file() and any(needle in content_of(path) for needle in needles):
            found.append(str(path.relative_to(settings.home).parts[0]))
    return sorted(set(found))


def content_of(path):
    """Return the unpacked content of a file."""
    if path.suffix == ".parquet":
        return json.dumps(pq.read_table(path).to_pylist(), default=str)
    return path.read_bytes().decode("utf-8", "replace")


def test_the_search_of_this_test_finds_the_customer_in_every_place_of_the_register(lived_in):
    expected = {place.table.fullname for place in personal_data.TABLES} - {"intent.predictions"}
    expected |= {folder.name for folder in personal_data.FOLDERS}
    expected |= {"intent.predictions_202606", "shop.events", "shop.customers"}
    assert set(hits(lived_in)) == expected


def test_an_erased_customer_is_nowhere_and_everybody_else_is_as_before(lived_in):
    others = hits(lived_in, CUSTOMERS[4])
    (erased,) = erasure.erase(lived_in, [GONE])
    assert hits(lived_in) == []
    assert hits(lived_in, CUSTOMERS[4]) == others
    assert erased.known
    assert erased.removed == {
        "exports": 2,
        "intent.customer_keys": 1,
        "intent.outcomes": 1,
        "intent.predictions": 2,
        "intent.quarantine": 1,
        "scores": 2,
        "shop.customers": 1,
        "shop.events": 22,
        "snapshots": 4,
        "training": 1,
    }
    ((finished, removed),) = run_sql(
        lived_in, "SELECT finished_at IS NOT NULL, removed FROM intent.erasures"
    )
    assert (finished, removed) == (True, erased.removed)


def test_nothing_is_repaired_after_an_erasure_and_a_clean_copy_gives_the_same_bytes(lived_in):
    erasure.erase(lived_in, [GONE])
    receipt = extract.run(lived_in, NEXT)
    assert (receipt["days_written"], receipt["days_repaired"]) == (0, 0)
    assert receipt["rows_in_warehouse"] == receipt["rows_in_snapshot"] == 23
    before = snapshots.manifest(lived_in.home, DAY)
    run_sql(lived_in, "DELETE FROM intent.runs WHERE step = 'snapshot'")
    extract.run(lived_in, NEXT)
    assert snapshots.manifest(lived_in.home, DAY)["digest"] == before["digest"]


def test_tables_of_a_foreign_shop_stay_and_the_counts_still_add_up(lived_in):
    foreign = lived_in.model_copy(update={"shop_owner_url": None})
    erasure.erase(foreign, [GONE])
    assert hits(lived_in) == ["shop.customers", "shop.events"]
    receipt = extract.run(foreign, NEXT)
    assert (receipt["days_written"], receipt["days_repaired"]) == (0, 0)
    ((counts,),) = run_sql(
        lived_in,
        "SELECT receipt FROM intent.runs WHERE step = 'snapshot' AND as_of_date = '2026-06-10'",
    )
    names = ("rows_in_warehouse", "rows_in_snapshot", "rows_quarantined", "rows_erased")
    assert [counts[name] for name in names] == [26, 23, 0, 3]
    run_sql(lived_in, "DELETE FROM intent.runs WHERE step = 'snapshot'")
    assert extract.run(foreign, NEXT)["rows_erased"] == 1, "the tombstone is honoured"
    assert hits(lived_in) == ["shop.customers", "shop.events"]


@pytest.mark.parametrize("is_ours", [True, False])
def test_the_counts_add_up_when_the_customer_has_events_that_were_sent_twice(lived_in, is_ours):
    copies = [event(f"twice/{n}", GONE, DAY) for n in range(3)]
    add(lived_in, [*copies, *copies[:2], event("other", CUSTOMERS[5], DAY)])
    assert extract.run(lived_in, DAY)["rows_repeated"] == 2
    changes = {} if is_ours else {"shop_owner_url": None}
    erasure.erase(lived_in.model_copy(update=changes), [GONE])
    ((counts,),) = run_sql(
        lived_in,
        "SELECT receipt FROM intent.runs WHERE step = 'snapshot' AND as_of_date = '2026-06-10'",
    )
    assert min(counts[name] for name in counts if name.startswith("rows_")) >= 0
    assert counts["rows_repeated"] == (0 if is_ours else 2)
    assert run_sql(lived_in, "SELECT breach FROM intent.conservation WHERE NOT holds") == []
    assert extract.run(lived_in, DAY)["days_repaired"] == 0


def test_a_day_that_is_published_again_does_not_bring_the_customer_back(lived_in):
    erasure.erase(lived_in, [GONE])
    for day in (DAY, NEXT):
        assert publish.run(lived_in, day)["rows"] == 23
    mature.run(lived_in, NEXT)
    assert hits(lived_in) == []


@pytest.mark.parametrize("place", ["erased_files.clear_scores", "erased_rows.clear_intent"])
def test_an_erasure_that_was_killed_is_finished_by_running_it_again(lived_in, monkeypatch, place):
    from intent_tasks.stores.privacy import erased_files, erased_rows

    module, name = place.split(".")
    holder = {"erased_files": erased_files, "erased_rows": erased_rows}[module]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(holder, name, killed)
        with pytest.raises(KeyboardInterrupt):
            erasure.erase(lived_in, [GONE])
    assert hits(lived_in) != []
    assert run_sql(lived_in, "SELECT finished_at FROM intent.erasures") == [(None,)]
    (second,) = erasure.erase(lived_in, [GONE])
    assert second.known
    assert hits(lived_in) == []


def test_what_a_killed_run_left_in_a_folder_of_snapshots_goes_too(lived_in):
    (folder,) = lived_in.home.glob(f"snapshots/day={DAY}")
    for name in ("bucket=000.0123456789ab.parquet", ".bucket=000.0123456789ab.parquet.77"):
        (folder / name).write_text(GONE)
    erasure.erase(lived_in, [CUSTOMERS[5]])
    assert len(list(folder.iterdir())) == lived_in.bucket_count + 1


def test_the_versions_that_learned_from_a_customer_are_named_exactly(lived_in):
    late = CUSTOMERS[7]
    run_sql(lived_in, "DELETE FROM intent.erasures")
    add(lived_in, [event("late", "newcomer", NEXT)])
    extract.run(lived_in, NEXT)
    versions = {
        1: (DAY, DAY),
        2: (DAY - timedelta(days=9), DAY - timedelta(days=1)),
        3: (DAY, NEXT),
    }
    for number, (first, last) in versions.items():
        run_sql(
            lived_in,
            "INSERT INTO intent.model_versions VALUES (:v, :last, :first, :last, 'digest', :run)",
            v=number, run=f"run {number}", first=first, last=last,
        )  # fmt: skip
    found = {e.customer_id: e.model_versions for e in erasure.erase(lived_in, [late, "newcomer"])}
    assert found == {late: [1, 3], "newcomer": [3]}
    assert erasure.erase(lived_in, [late])[0].model_versions == [1, 3], "remembered"


def test_requests_of_the_shop_are_worked_off_once_and_forget_the_id(lived_in):
    run_sql(
        lived_in,
        "INSERT INTO intent.erasure_requests (customer_id, requested_by) "
        "VALUES (:id, 'portal'), (:id, 'portal'), ('nobody', 'portal'), ('', 'portal')",
        id=GONE,
    )
    receipt = erase.run(lived_in, NEXT)
    assert {k: receipt[k] for k in ("customers", "unknown", "erased_before")} == {
        "customers": 2, "unknown": 1, "erased_before": 0,
    }  # fmt: skip
    assert hits(lived_in) == []
    open_ones = run_sql(
        lived_in, "SELECT customer_id FROM intent.erasure_requests WHERE done_at IS NULL"
    )
    assert open_ones == [("",)]
    with pytest.raises(NothingToDo, match="No request"):
        erase.run(lived_in, NEXT)


def test_an_export_that_cannot_be_read_is_named(lived_in):
    (lived_in.home / "exports" / "c.parquet").write_text("no parquet")
    with pytest.raises(BadInput, match=r"c\.parquet cannot be read as a Parquet file"):
        erasure.erase(lived_in, [GONE])


def test_a_failed_erasure_lists_cleared_and_other_places_and_is_finished_later(
    lived_in, monkeypatch
):
    wrong = lived_in.shop_owner_url.get_secret_value().replace("@127.0.0.1", "@127.0.0.2")
    unreachable = lived_in.model_copy(update={"shop_owner_url": SecretStr(wrong)})
    with pytest.raises(TemporaryFailure) as failed:
        erasure.erase(unreachable, [GONE])
    message = str(failed.value)
    assert "Cleared: snapshots, scores, training, exports, logs." in message
    assert "Not cleared, or in part: schema shop, schema intent." in message
    assert "Nothing was changed" not in message
    assert set(hits(lived_in)) >= {"shop.events", "intent.customer_keys"}
    assert not {"snapshots", "scores"} & set(hits(lived_in))
    erasure.erase(lived_in, [GONE])
    assert hits(lived_in) == []


def test_a_log_of_a_server_that_wrote_an_id_is_cleared_in_place(lived_in):
    key = identity_keys.keys(lived_in, [GONE])[0].as_py()
    message = f"DETAIL: Failing row contains ({GONE}, 1).\nkey {key}: {GONE}x and {CUSTOMERS[4]}\n"
    names = ("logs/postgres.log.1", "airflow/logs/dag/1.log", "bugs.log")
    logs = [lived_in.home / name for name in names]
    for log in logs:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(message)
    with logs[0].open("a") as server:
        (erased,) = erasure.erase(lived_in, [GONE])
        server.write("goes on\n")
    assert erased.removed["logs"] == 6
    stars = message.replace(f"({GONE},", f"({'*' * len(GONE)},").replace(key, "*" * len(key))
    assert [log.read_text() for log in logs] == [f"{stars}goes on\n", stars, stars]


def test_a_number_that_may_be_a_count_stays_in_the_logs(lived_in):
    log = lived_in.home / "logs" / "step.log"
    log.parent.mkdir()
    log.write_text("4711 rows copied")
    assert "logs" not in erasure.erase(lived_in, ["4711"])[0].removed
    assert log.read_text() == "4711 rows copied"


def test_a_training_during_an_erasure_is_refused(lived_in):
    day = NEXT - timedelta(days=1)
    receipt = {
        "first_day": str(DAY),
        "last_day": str(day),
        "snapshot_digest": snapshots.digest(lived_in.home, [DAY, day]),
    }
    ledger.finish_step(lived_in, "window", day, receipt)
    erasure.erase(lived_in, ["somebody who did nothing"])
    erasure.require_none_since_window(lived_in, day)
    erasure.erase(lived_in, [GONE])
    with pytest.raises(Refused, match="Customers were erased since the window of 2026-06-11"):
        erasure.require_none_since_window(lived_in, day)
    run_sql(lived_in, "UPDATE intent.erasures SET finished_at = NULL")
    with pytest.raises(TemporaryFailure, match="under way"):
        erasure.require_none_since_window(lived_in, day)
