"""From the shop's tables to snapshots: nothing is lost, nothing leaks, twice is once."""

from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
import sqlalchemy as sa

from intent_tasks.errors import BadInput, NothingToDo, Refused
from intent_tasks.formats import files
from intent_tasks.steps import extract, validate
from intent_tasks.stores import identity_keys, postgres, simulated_shop, snapshots
from intent_tasks.stores.analyst_query import query_as_csv
from intent_tasks.stores.extracting import copy_days

pytestmark = pytest.mark.database

DAY = date(2026, 6, 30)
NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)


@pytest.fixture
def settings(settings):
    """Settings that read a week of history, for speed."""
    return settings.model_copy(update={"history_days": 7})


def _event(number, **changes):
    event = {
        "event_id": f"e{number}",
        "customer_id": f"customer {number % 3}",
        "event_type": "view",
        "product_id": "p1",
        "occurred_at": NOON - timedelta(days=number),
    }
    return event | changes


def _load(settings, rows, **more):
    table = pa.Table.from_pylist(rows, schema=files.SCHEMA)
    return simulated_shop.load(settings, "a shop", f"digest of {len(rows)}", [table], **more)


def _add(settings, rows):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        postgres.copy_in(connection, "shop.events", pa.Table.from_pylist(rows, files.SCHEMA))


def _quarantined(settings):
    query = sa.text("SELECT source, row_key, rule FROM intent.quarantine ORDER BY 1, 2, 3")
    with postgres.reading(settings.pipeline_url) as connection:
        return [tuple(row) for row in connection.execute(query)]


def _known(settings, day=DAY):
    return snapshots.read(settings.home, settings.definition, day, range(settings.bucket_count))


def test_all_days_of_the_history_are_copied_once(settings):
    _load(settings, [_event(n) for n in range(5)])
    receipt = extract.run(settings, DAY)
    assert receipt["rows_in_warehouse"] == receipt["rows_in_snapshot"] == 1
    assert receipt["days_written"] == settings.history_days
    assert sorted(_known(settings)["event_id"].to_pylist()) == ["e0", "e1", "e2", "e3", "e4"]
    assert "customer 0" not in str(_known(settings).to_pylist()), "no identity outside Postgres"
    second = extract.run(settings, DAY)
    assert second == receipt | {"days_written": 0, "days_repaired": 0}


def test_an_event_belongs_to_the_day_it_arrived_on(settings):
    late = _event(3, ingested_at=NOON)
    _load(settings, [_event(0), late])
    extract.run(settings, DAY)
    before = DAY - timedelta(days=1)
    copy_days.complete_snapshots(settings, settings.definition.first_history_day(before), before)
    assert _known(settings, before).num_rows == 0, "it was not known then"
    assert _known(settings)["event_id"].to_pylist().count("e3") == 1


def test_rows_that_cannot_be_used_are_set_aside_and_counted(settings):
    rows = [_event(0), _event(0, price=3.0), _event(0, event_id="x", event_type="fly")]
    rows.append(_event(0, event_id="y", price=float("nan")))
    rows.append(_event(0, event_id="z", price=-1.0))
    _load(settings, rows)
    receipt = extract.run(settings, DAY)
    assert receipt["rows_in_warehouse"] == 5
    assert (receipt["rows_in_snapshot"], receipt["rows_quarantined"]) == (2, 3)
    assert receipt["values_unreadable"] == {"price cannot be read": 1}
    source = "shop.events 2026-06-30"
    assert _quarantined(settings) == [
        (source, "e0", "event_id comes twice"),
        (source, "x", "event_type is unknown"),
        (source, "z", "price is below 0"),
    ]
    extract.run(settings, DAY)
    assert len(_quarantined(settings)) == 3


def test_an_id_of_two_events_of_one_day_is_set_aside_under_a_rule_of_its_own(settings):
    other = _event(0, customer_id="somebody else", event_type="purchase")
    _load(settings, [_event(0), _event(0, price=3.0), other])
    assert extract.run(settings, DAY)["rows_in_snapshot"] == 1
    assert sorted(rule for _, _, rule in _quarantined(settings)) == [
        "event_id comes twice",
        "event_id comes twice with other content",
    ]


def _resent(number, **changes):
    """Return an event of the day that arrives a minute later than the first copy."""
    at = NOON + timedelta(minutes=number % 60)
    return _event(0, event_id=f"r{number}", occurred_at=at, ingested_at=at, price=1.0) | changes


def test_events_that_are_sent_again_on_one_day_are_counted_apart_and_refuse_nothing(settings):
    later = {"ingested_at": NOON + timedelta(hours=2)}
    copies = [_resent(n, **later) for n in range(40)]
    _load(settings, [*(_resent(n) for n in range(200)), *copies, *copies[:5]])
    receipt = extract.run(settings, DAY)
    names = ("rows_in_warehouse", "rows_in_snapshot", "rows_quarantined", "rows_repeated")
    assert [receipt[name] for name in names] == [245, 200, 0, 45]
    assert _quarantined(settings) == []
    with postgres.reading(settings.analyst_url) as connection:
        query = sa.text(
            "SELECT rows_repeated, holds FROM intent.conservation WHERE as_of_date = :d"
        )
        assert tuple(connection.execute(query, {"d": DAY}).one()) == (45, True)
    assert max(_known(settings)["ingested_at"].to_pylist()) < NOON + timedelta(hours=1)
    assert validate.run(settings, DAY)["failed"] == ["events.row_repeated"], "a warning"


def test_copies_with_another_price_are_set_aside_and_refuse_a_day_of_many(settings):
    other = [_resent(n, price=2.0) for n in range(11)]
    _load(settings, [*(_resent(n) for n in range(200)), *other])
    with pytest.raises(Refused, match=r"11 of 211 rows .* event_id comes twice: 11"):
        extract.run(settings, DAY)


def test_a_copy_of_a_row_that_is_set_aside_is_a_copy(settings):
    rows = [_resent(0), _resent(0, price=2.0), _resent(0), _resent(0, price=2.0)]
    _load(settings, rows)
    receipt = extract.run(settings, DAY)
    names = ("rows_in_snapshot", "rows_quarantined", "rows_repeated")
    assert [receipt[name] for name in names] == [1, 1, 2]


def test_a_transaction_that_committed_late_repairs_its_day(settings):
    _load(settings, [_event(n) for n in range(5)])
    extract.run(settings, DAY)
    _add(settings, [_event(2, event_id="late")])
    receipt = extract.run(settings, DAY)
    assert (receipt["days_written"], receipt["days_repaired"]) == (0, 1)
    assert "late" in _known(settings)["event_id"].to_pylist()


def test_a_snapshot_the_ledger_does_not_know_is_written_again(settings):
    _load(settings, [_event(0)])
    extract.run(settings, DAY)
    forget = sa.text("DELETE FROM intent.runs WHERE step = 'snapshot' AND as_of_date = :day")
    with postgres.changing(settings.pipeline_url, "test") as connection:
        connection.execute(forget, {"day": DAY})
    assert extract.run(settings, DAY)["days_written"] == 1


def test_category_and_brand_come_from_the_products(settings):
    sold = pa.table({"product_id": ["p1"], "category_path": ["a.b"], "brand": ["Acme"]})
    _load(settings, [_event(0), _event(0, event_id="z", product_id="p9")], products_sold=sold)
    extract.run(settings, DAY)
    found = {row["event_id"]: row["category_path"] for row in _known(settings).to_pylist()}
    assert found == {"e0": "a.b", "z": None}


def test_title_and_picture_come_from_the_products_and_a_day_copied_again_is_the_same(settings):
    sold = pa.table({"product_id": ["p1", "p2"], "title": ["Red shoe", None]})
    pictures = pa.array([[0.5] * 100, None], pa.list_(pa.float64()))
    sold = sold.append_column("image_embedding", pictures)
    _load(settings, [_event(0), _event(0, event_id="z", product_id="p2")], products_sold=sold)
    first = _extracted(settings)
    found = {
        row["event_id"]: (row["title"], row["picture"]) for row in _known(settings).to_pylist()
    }
    assert found["z"] == (None, None)
    title, picture = found["e0"]
    assert title == "Red shoe"
    assert picture.startswith("100:")
    assert len(picture) < 100, "an embedding is long, and events are many"
    (snapshots.day_folder(settings.home, DAY) / "manifest.json").unlink()
    assert _extracted(settings) == first


def test_titles_and_pictures_are_left_where_they_are_when_the_setting_says_so(settings):
    sold = pa.table({"product_id": ["p1"], "category_path": ["a.b"], "title": ["Red shoe"]})
    _load(settings, [_event(0)], products_sold=sold)
    extract.run(settings.model_copy(update={"product_content": False}), DAY)
    [row] = _known(settings).to_pylist()
    assert (row["category_path"], row["title"], row["picture"]) == ("a.b", None, None)


def _extracted(settings):
    extract.run(settings, DAY)
    return snapshots.manifest(settings.home, DAY)["digest"]


@pytest.mark.parametrize(
    "lacks", [["title"], ["image_embedding"], ["title", "brand"], ["product_id"]]
)
def test_products_may_lack_columns(settings, lacks):
    sold = pa.table({"product_id": ["p1"], "category_path": ["a.b"], "brand": ["Acme"]})
    _load(settings, [_event(0)], products_sold=sold)
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        for name in lacks:
            connection.exec_driver_sql(f"ALTER TABLE shop.products DROP COLUMN {name} CASCADE")
    extract.run(settings, DAY)
    [row] = _known(settings).to_pylist()
    assert row["category_path"] == (None if "product_id" in lacks else "a.b")


def test_optional_columns_may_be_absent_and_a_price_may_be_numeric(settings):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.exec_driver_sql(
            "CREATE TABLE shop.events (event_id text, customer_id text, event_type text, "
            "occurred_at timestamptz, price numeric)"
        )
        connection.exec_driver_sql(
            "INSERT INTO shop.events VALUES ('a', 'c', 'view', '2026-06-30 12:00Z', 9.99)"
        )
    extract.run(settings, DAY)
    [row] = _known(settings).to_pylist()
    assert (row["price"], row["product_id"], row["ingested_at"]) == (9.99, None, NOON)


def _erase(settings, customer):
    key = identity_keys.keys(settings, [customer])[0].as_py()
    erase = sa.text("INSERT INTO intent.erasures VALUES (:key, now(), 'k1')")
    with postgres.changing(settings.pipeline_url, "test") as connection:
        connection.execute(erase, {"key": key})


def test_erased_customers_are_left_out_and_counted(settings):
    _load(settings, [_event(0), _event(0, event_id="f", customer_id="gone")])
    _erase(settings, "gone")
    receipt = extract.run(settings, DAY)
    assert (receipt["rows_in_snapshot"], receipt["rows_erased"]) == (1, 1)


def test_a_customer_is_keyed_once_also_where_somebody_was_erased(settings, monkeypatch):
    _load(settings, [_event(n) for n in range(5)])
    _erase(settings, "gone")
    made, keys_of = [], identity_keys.keys_of
    monkeypatch.setattr(
        identity_keys, "keys_of", lambda ids, key: made.append(ids) or keys_of(ids, key)
    )
    extract.run(settings, DAY)
    # One id alone is that by which the key itself is checked.
    ids = [name for names in made if len(names) > 1 for name in names]
    assert sorted(ids) == ["customer 0", "customer 1", "customer 2"]


@pytest.mark.parametrize(("empty_day", "error"), [("stop", Refused), ("skip", NothingToDo)])
def test_a_day_without_events_is_refused_or_skipped(settings, empty_day, error):
    _load(settings, [_event(1)])
    changed = settings.model_copy(update={"empty_day": empty_day})
    with pytest.raises(error, match="No event arrived on 2026-06-30"):
        extract.run(changed, DAY)


def test_a_shop_is_loaded_once_and_another_one_is_refused(settings):
    assert _load(settings, [_event(0)]) == 1
    assert _load(settings, [_event(0)]) == 0
    with pytest.raises(Refused, match="Another shop is loaded here"):
        _load(settings, [_event(0), _event(1)])


def test_a_load_that_fails_leaves_nothing(settings):
    def batches():
        yield pa.Table.from_pylist([_event(0)], schema=files.SCHEMA)
        raise BadInput("The second half of the file is broken.")

    with pytest.raises(BadInput):
        simulated_shop.load(settings, "a shop", "digest", batches())
    with postgres.reading(settings.shop_owner_url) as connection:
        assert sa.inspect(connection).get_table_names("shop") == []


def test_the_analyst_queries_in_sql_and_gets_clear_errors(settings):
    csv_text = query_as_csv(settings.analyst_url, "SELECT 1 AS a, '50 %' AS b, 'x,y' AS c")
    assert csv_text == 'a,b,c\r\n1,50 %,"x,y"\r\n'
    with pytest.raises(BadInput, match="permission denied"):
        query_as_csv(settings.analyst_url, "SELECT * FROM intent.erasures")


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"rating": 200}, "rating is above 5"),
        ({"quantity": 2_000_000_000}, "quantity is above 1e+06"),
        ({"occurred_at": NOON + timedelta(days=2), "ingested_at": NOON}, "occurred_at is after"),
    ],
)
def test_an_absurd_value_is_set_aside_and_the_day_goes_on(settings, changes, rule):
    _load(settings, [_event(0), _event(0, event_id="x", **changes)])
    receipt = extract.run(settings, DAY)
    assert (receipt["rows_in_snapshot"], receipt["rows_quarantined"]) == (1, 1)
    ((_, key, reason),) = _quarantined(settings)
    assert key == "x"
    assert reason.startswith(rule)


def test_a_missing_required_column_is_named_before_anything_is_written(settings):
    _load(settings, [_event(0)])
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.execute(sa.text("ALTER TABLE shop.events DROP COLUMN customer_id"))
    with pytest.raises(Refused, match=r"shop\.events lacks customer_id"):
        extract.run(settings, DAY)
    assert snapshots.days(settings.home) == []


def test_a_shop_without_events_is_told_what_to_make(settings):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.execute(sa.text("DROP TABLE IF EXISTS shop.events"))
    with pytest.raises(Refused, match=r"no table or view shop\.events"):
        extract.run(settings, DAY)


def test_a_right_that_is_missing_is_a_refusal_and_not_tried_again(settings):
    _load(settings, [_event(0)])
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.execute(sa.text("REVOKE SELECT ON shop.events FROM intent_extract"))
    with pytest.raises(Refused, match=r"Postgres refuses to read: .*permission denied"):
        extract.run(settings, DAY)
