"""What `intent check-source` reports about consent."""

import pyarrow as pa
import pytest

from intent_tasks.commands import check_source
from intent_tasks.errors import Refused
from intent_tasks.formats import files
from intent_tasks.steps import validate
from intent_tasks.stores import simulated_shop
from intent_tasks.stores.privacy import consent, consent_record, exporting
from tests.database.conftest import CUSTOMERS, DAY, event
from tests.database.test_consent import change_shop
from tests.database.test_consent_coverage import (
    ACCEPTED,
    LOST,
    NEXT,
    WITHOUT_A_ROW,
    change,
    going,
    going_once,
)
from tests.database.test_export import wanted

__all__ = ["going", "going_once"]

pytestmark = pytest.mark.database


def report_of(settings):
    settings = settings.model_copy(update={"last_day": NEXT})
    checked = check_source.check(settings, settings.definition.day_end(NEXT))
    return "\n".join(checked.lines)


WHY = {
    "emptied": "sees no row of shop.customers. Is the table empty, still loading, or hidden",
    "hidden by row security": "sees no row of shop.customers",
    "ids in capitals": "24 more would have one if ids did not differ in case: write them the same",
    "ids padded": "24 more would have one if ids did not differ in blanks around them",
    "ids with zeros": "'a 9' in shop.events and like 'a 9' in shop.customers",
}


@pytest.mark.parametrize("name", WHY)
def test_the_report_counts_customers_with_a_row_and_explains_why_others_have_none(small_shop, name):
    change(small_shop, LOST[name])
    report = report_of(small_shop)
    assert "PROBLEM  Of 24 customers with events 0 have a row in shop.customers" in report
    assert WHY[name] in report
    assert "customer 0" not in report


def test_the_report_shows_how_to_accept_guests_before_the_first_day(small_shop):
    change_shop(small_shop, f"DELETE FROM shop.customers WHERE {WITHOUT_A_ROW['guests']}")
    assert (
        "PROBLEM  Of 24 customers with events 12 have a row in shop.customers (50%); on a first "
        "day the contract allows at least 0.75"
    ) in report_of(small_shop)
    (small_shop.home / "contract.toml").write_text(ACCEPTED)
    assert "costs    Of 24 customers with events 12 have" in report_of(small_shop)


def test_the_report_shows_what_is_in_order_what_costs_and_what_is_missing(going):
    assert "ok       Of 24 customers with events 24 have a row" in report_of(going)
    change_shop(going, "ALTER TABLE shop.customers DROP CONSTRAINT customers_pkey")
    change_shop(going, f"DELETE FROM shop.customers WHERE customer_id = '{CUSTOMERS[0]}'")
    change_shop(going, "INSERT INTO shop.customers SELECT * FROM shop.customers LIMIT 2")
    report = report_of(going)
    assert "costs    Of 24 customers with events 23 have a row" in report
    assert (
        "costs    2 customers have several rows in shop.customers: a no in any of them counts"
        in report
    )
    change_shop(going, "DROP TABLE shop.customers")
    report = report_of(going)
    assert (
        "PROBLEM  shop.customers has no consent_marketing, consent_personalisation, supp" in report
    )


def test_the_report_shows_that_a_table_records_no_consent(small_shop):
    for name in consent_record.COLUMNS:
        change_shop(small_shop, f"ALTER TABLE shop.customers DROP COLUMN {name}")
    report = report_of(small_shop)
    assert "costs    shop.customers has none of consent_personalisation" in report


def test_a_table_that_collect_created_counts_after_it_was_filled(settings):
    rows = [event(n, customer, DAY) for n, customer in enumerate(CUSTOMERS)]
    simulated_shop.load(settings, "a shop", "digest", [pa.Table.from_pylist(rows, files.SCHEMA)])
    settings = settings.model_copy(update={"history_days": 1})
    assert validate.run(settings, DAY)["consent"] is None
    assert "shop.customers was created here and never filled" in report_of(settings)
    with pytest.raises(Refused, match=r"was made here and is empty: .*--table customers"):
        exporting.export(settings, wanted())
    for statement in ("INSERT INTO shop.customers VALUES ('c')", "DELETE FROM shop.customers"):
        change_shop(settings, statement)
    with pytest.raises(Refused, match=r"customers\.consent_coverage .*: 0 of 24\) is 0"):
        validate.run(settings, DAY)
    change_shop(settings, "TRUNCATE shop.customers")
    assert len(consent.read(settings, "personalisation").allowed) == 0
