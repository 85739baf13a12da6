"""The contract on a day: errors, warnings and results, without a value of the shop."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from intent_tasks.errors import Refused, TemporaryFailure
from intent_tasks.steps import extract, validate
from intent_tasks.stores import ledger, postgres
from intent_tasks.tables import contract_results
from tests.database.conftest import CUSTOMERS, DAY, add, event

pytestmark = pytest.mark.database

CANARY = "jane.doe@canary.example"


def _kept(settings):
    return "".join(
        path.read_text(errors="replace")
        for path in settings.home.rglob("*")
        if path.is_file() and path.suffix in (".html", ".json")
    )


def _results(settings, **where):
    query = sa.select(contract_results).filter_by(**where)
    with postgres.reading(settings.analyst_url) as connection:
        return connection.execute(query).mappings().all()


def _alter(settings, *statements):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        for statement in statements:
            connection.execute(sa.text(f"ALTER TABLE shop.events {statement}"))


def test_a_clean_day_passes_has_a_page_and_its_results_are_for_the_analyst(small_shop):
    receipt = validate.run(small_shop, DAY)
    assert receipt["rules"] > 20
    assert receipt["failed"] == []
    assert (small_shop.home / receipt["data_docs"]).exists()
    assert ledger.receipt_of(small_shop, "validate", DAY) == receipt
    (rows,) = _results(small_shop, as_of_date=DAY, suite="events", rule="rows")
    assert (rows["passed"], rows["observed"], rows["low"], rows["row_count"]) == (True, 24, 1, 24)
    assert rows["page"] == receipt["data_docs"]


def test_too_many_bad_rows_stop_the_day_by_name_with_observed_and_allowed_and_no_value(small_shop):
    add(small_shop, [event(f"x{n}", CANARY, DAY, CANARY) for n in range(6)])
    message = r"events\.event_type_unknown .* is 0\.2, allowed at most 0\.01.*data_docs/.*html"
    with pytest.raises(Refused, match=message) as refused:
        validate.run(small_shop, DAY)
    page = (small_shop.home / refused.value.page).read_text()
    assert "event_type_unknown" in page
    assert "Failed" in page
    assert ledger.receipt_of(small_shop, "validate", DAY) is None
    (unknown,) = _results(small_shop, as_of_date=DAY, rule="event_type_unknown")
    assert (unknown["passed"], unknown["failed_rows"], unknown["row_count"]) == (False, 6, 30)
    assert "event_type_unknown" in _kept(small_shop)
    assert "canary" not in _kept(small_shop)
    assert "canary" not in str(_results(small_shop))


def test_a_day_that_is_checked_again_has_its_results_once(small_shop):
    validate.run(small_shop, DAY)
    before = len(_results(small_shop))
    validate.run(small_shop, DAY)
    assert len(_results(small_shop)) == before


def test_one_bad_row_in_many_does_not_stop_the_day(small_shop):
    add(small_shop, [event(f"x{n}", CUSTOMERS[0], DAY, product_id=f"p{n}") for n in range(200)])
    add(small_shop, [event("y", CUSTOMERS[0], DAY, "fly")])
    assert validate.run(small_shop, DAY)["failed"] == []
    (unknown,) = _results(small_shop, rule="event_type_unknown")
    assert (unknown["severity"], unknown["passed"], unknown["failed_rows"]) == (
        "quarantine", True, 1,
    )  # fmt: skip


def test_a_warning_is_reported_and_does_not_stop(small_shop):
    add(small_shop, [event(f"x{n}", CUSTOMERS[0], DAY, product_id="p") for n in range(9)])
    assert validate.run(small_shop, DAY)["failed"] == ["events.row_repeated"]


def test_an_empty_day_is_not_taken_for_a_good_one(small_shop):
    with pytest.raises(Refused, match=r"events\.rows \(rows\) is 0, allowed at least 1\."):
        validate.run(small_shop, DAY - timedelta(days=100))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("DROP COLUMN event_type", "column_event_type .*missing"),
        ("RENAME customer_id TO client", "column_customer_id .*missing; not in .*: client"),
        ("ALTER occurred_at TYPE timestamp", "column_occurred_at .*time without zone, was time w"),
        ("ALTER price TYPE text", "column_price .*text, was number"),
    ],
)
def test_a_column_that_is_missing_renamed_or_retyped_is_named(small_shop, change, message):
    _alter(small_shop, change)
    with pytest.raises(Refused, match=message):
        validate.run(small_shop, DAY)


def test_a_column_that_was_added_does_not_matter(small_shop):
    _alter(small_shop, "ADD COLUMN basket text", "ALTER price TYPE numeric")
    assert validate.run(small_shop, DAY)["failed"] == []


def test_optional_columns_may_be_absent(small_shop):
    _alter(small_shop, *(f"DROP {c}" for c in ("price", "quantity", "rating", "ingested_at")))
    assert validate.run(small_shop, DAY)["failed"] == []


def test_a_database_that_is_down_is_a_temporary_failure(small_shop):
    nowhere = small_shop.shop_url.get_secret_value().rsplit(":", 1)[0] + ":9/shop"
    away = small_shop.model_copy(update={"shop_url": type(small_shop.shop_url)(nowhere)})
    with pytest.raises(TemporaryFailure):
        validate.run(away, DAY)


def test_a_rule_that_cannot_be_judged_is_not_taken_for_kept(small_shop, monkeypatch):
    import great_expectations.expectations as gxe

    def broken(*_, **__):
        raise RuntimeError(CANARY)

    monkeypatch.setattr(gxe.ExpectColumnMaxToBeBetween, "_validate", broken)
    with pytest.raises(Refused, match=r"rules could not be judged.*not taken for a pass"):
        validate.run(small_shop, DAY)
    assert _results(small_shop) == []
    assert "canary" not in _kept(small_shop)


def test_a_day_of_many_times_the_rows_of_the_same_weekday_is_refused(small_shop):
    small_shop = small_shop.model_copy(update={"history_days": 15})
    day = DAY + timedelta(weeks=2)
    extract.run(small_shop, day)
    assert validate.run(small_shop, day)["failed"] == []
    add(small_shop, [event(f"x{n}", f"c{n}", day) for n in range(300)])
    with pytest.raises(Refused, match=r"events\.rows_of_weekday .* is 13\.5, allowed 0\.1 to 10"):
        validate.run(small_shop, day)
