"""Customers who say no are not predicted, whenever they say it; others need no row."""

import pyarrow as pa
import pytest
import sqlalchemy as sa

from intent_tasks.core.dataset import SPLITS
from intent_tasks.core.identity import customer_keys
from intent_tasks.errors import BadInput, Refused
from intent_tasks.steps import extract, publish
from intent_tasks.stores import postgres, training_window
from intent_tasks.stores.privacy import consent
from tests.database.conftest import CUSTOMERS, DAY

pytestmark = pytest.mark.database

COLUMNS = "consent_personalisation, consent_marketing, suppressed"


def say(settings, customer, personalisation, marketing=None, suppressed=None):
    """Write the consent of a customer; None is null."""
    insert = sa.text(
        f"INSERT INTO shop.customers (customer_id, {COLUMNS}) VALUES (:id, :p, :m, :s) "
        "ON CONFLICT (customer_id) DO UPDATE SET consent_personalisation = :p, "
        "consent_marketing = :m, suppressed = :s"
    )
    values = {"id": customer, "p": personalisation, "m": marketing, "s": suppressed}
    with postgres.changing(settings.shop_owner_url, "test") as connection:
        connection.execute(insert, values)


def change_shop(settings, statement):
    with postgres.changing(settings.shop_owner_url, "test") as connection:
        connection.execute(sa.text(statement))


def published(settings):
    with postgres.reading(settings.analyst_url) as connection:
        return set(connection.scalars(sa.text("SELECT customer_id FROM intent.predictions")))


def test_only_a_yes_is_a_yes_and_null_is_a_no(small_shop):
    change_shop(small_shop, "DELETE FROM shop.customers")
    for customer, answer in zip("abcde", (True, False, None, True, True), strict=True):
        say(small_shop, customer, answer, suppressed={"d": True, "e": False}.get(customer))
    answers = consent.read(small_shop, "personalisation")
    assert sorted(answers.yes.to_pylist()) == ["a", "e"]
    assert sorted(answers.no.to_pylist()) == ["b", "c", "d"]
    assert consent.read(small_shop, "marketing").yes.to_pylist() == []


@pytest.mark.parametrize(
    ("change", "no"),
    [
        ("DROP TABLE shop.customers", []),
        ("ALTER TABLE shop.customers DROP COLUMN consent_personalisation", ["s"]),
        ("ALTER TABLE shop.customers DROP COLUMN suppressed", ["n"]),
    ],
)
def test_what_the_shop_does_not_record_is_not_known(small_shop, change, no):
    say(small_shop, "n", False)
    say(small_shop, "s", True, suppressed=True)
    change_shop(small_shop, change)
    assert consent.read(small_shop, "personalisation").no.to_pylist() == no


def test_a_consent_that_is_no_boolean_is_refused_by_name(small_shop):
    change_shop(small_shop, "ALTER TABLE shop.customers ALTER COLUMN consent_marketing TYPE text")
    with pytest.raises(Refused, match=r"shop\.customers\.consent_marketing is TEXT"):
        consent.read(small_shop, "marketing")
    with pytest.raises(BadInput, match="purposes: personalisation, marketing"):
        consent.read(small_shop, "profiling")


def test_a_consent_withdrawn_after_scoring_leaves_the_row_out_and_is_counted(scored_shop):
    say(scored_shop, CUSTOMERS[0], False)
    say(scored_shop, CUSTOMERS[1], True)
    receipt = publish.run(scored_shop, DAY)
    counts = {name: receipt[name] for name in ("scored", "rows", "erased", "withdrawn")}
    assert counts == {"scored": 24, "rows": 23, "erased": 0, "withdrawn": 1}
    assert published(scored_shop) == set(CUSTOMERS[1:])
    assert publish.run(scored_shop, DAY) == receipt, "the same again"


def test_a_consent_withdrawn_after_publishing_takes_the_row_out_when_the_day_runs_again(
    scored_shop,
):
    assert publish.run(scored_shop, DAY)["withdrawn"] == 0
    say(scored_shop, CUSTOMERS[5], None)
    assert publish.run(scored_shop, DAY)["withdrawn"] == 1
    assert published(scored_shop) == set(CUSTOMERS) - {CUSTOMERS[5]}


def test_the_keys_of_those_who_say_no_are_those_of_the_snapshots(scored_shop):
    for customer in CUSTOMERS[1:]:
        say(scored_shop, customer, False)
    assert publish.run(scored_shop, DAY)["withdrawn"] == len(CUSTOMERS) - 1
    assert consent.keys(scored_shop).allowed.type == pa.string()


def learned_from(settings):
    """Return the customers whose events training reads, and the number of those left out."""
    window = {"first_day": str(DAY), "last_day": str(DAY), "split": {p: [] for p in SPLITS}}
    allowed = consent.learnable(settings)
    slices = training_window.open_dataset(settings, window, allowed)
    keys = {k for n in range(slices.buckets) for k in slices.read(n)["customer_key"].to_pylist()}
    secret = settings.identity_key.get_secret_value().encode()
    return {c for c in CUSTOMERS if customer_keys([c], secret)[0] in keys}, allowed.left_out


def test_customers_who_say_no_are_not_used_for_training(small_shop):
    extract.run(small_shop, DAY)
    assert learned_from(small_shop) == (set(CUSTOMERS), 0)
    say(small_shop, CUSTOMERS[0], False)
    say(small_shop, CUSTOMERS[1], True, suppressed=True)
    say(small_shop, CUSTOMERS[2], True)
    say(small_shop, "nobody who did anything", False)
    assert learned_from(small_shop) == (set(CUSTOMERS[2:]), 2)
    otherwise = small_shop.model_copy(update={"learn_without_consent": True})
    assert learned_from(otherwise) == (set(CUSTOMERS), 0)
    say(small_shop, CUSTOMERS[0], True)
    assert learned_from(small_shop) == (set(CUSTOMERS) - {CUSTOMERS[1]}, 1)
