"""The contract on a day's events: what stops the day, what is only said; no value leaks."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from intent_tasks.errors import Refused, TemporaryFailure
from intent_tasks.steps import validate
from intent_tasks.stores import postgres
from tests.database.conftest import CUSTOMERS, DAY, add, event

pytestmark = pytest.mark.database

CANARY = "jane.doe@canary.example"


def _kept(settings):
    return "".join(
        path.read_text(errors="replace")
        for path in settings.home.rglob("*")
        if path.is_file() and path.suffix in (".html", ".json")
    )


def test_a_clean_day_passes_and_has_a_page(small_shop):
    receipt = validate.run(small_shop, DAY)
    assert receipt["expectations"] > 10
    assert receipt["failed"] == []
    assert (small_shop.home / receipt["data_docs"]).exists()
    assert postgres.receipt_of(small_shop, "validate", DAY) == receipt


def test_a_failed_critical_expectation_stops_the_day_by_name_and_its_page_holds_no_value(
    small_shop,
):
    add(small_shop, [event(f"x{n}", CANARY, DAY, CANARY) for n in range(5)])
    with pytest.raises(Refused, match=r"expect_column_values_to_be_in_set\(event_type\)"):
        validate.run(small_shop, DAY)
    assert postgres.receipt_of(small_shop, "validate", DAY) is None
    assert "expect_column_values_to_be_in_set" in _kept(small_shop)
    assert "canary" not in _kept(small_shop)


def test_one_bad_row_in_many_does_not_stop_the_day(small_shop):
    add(small_shop, [event(f"x{n}", CUSTOMERS[0], DAY) for n in range(200)])
    add(small_shop, [event("y", CUSTOMERS[0], DAY, "fly")])
    assert validate.run(small_shop, DAY)["failed"] == []


def test_a_warning_is_said_and_goes_on(small_shop):
    add(small_shop, [event(f"x{n}", CUSTOMERS[0], DAY, price=-1.0) for n in range(5)])
    assert validate.run(small_shop, DAY)["failed"] == ["expect_column_values_to_be_between(price)"]


def test_an_empty_day_is_not_taken_for_a_good_one(small_shop):
    with pytest.raises(Refused, match="expect_table_row_count_to_be_between"):
        validate.run(small_shop, DAY - timedelta(days=100))


def test_a_missing_required_column_is_named(small_shop):
    with postgres.changing(small_shop.shop_owner_url, "shop") as connection:
        connection.execute(sa.text("ALTER TABLE shop.events DROP COLUMN event_type"))
    with pytest.raises(Refused, match=r"expect_column_to_exist\(event_type\)"):
        validate.run(small_shop, DAY)


def test_optional_columns_may_be_absent(small_shop):
    with postgres.changing(small_shop.shop_owner_url, "shop") as connection:
        for column in ("price", "quantity", "rating", "ingested_at"):
            connection.execute(sa.text(f"ALTER TABLE shop.events DROP COLUMN {column}"))
    assert validate.run(small_shop, DAY)["failed"] == []


def test_a_database_that_is_down_is_a_temporary_failure(small_shop):
    nowhere = small_shop.shop_url.get_secret_value().rsplit(":", 1)[0] + ":9/shop"
    away = small_shop.model_copy(update={"shop_url": type(small_shop.shop_url)(nowhere)})
    with pytest.raises(TemporaryFailure):
        validate.run(away, DAY)
