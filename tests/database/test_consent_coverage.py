"""A customer without a row has no consent, and a lost record of consent stops the day."""

import shutil
from datetime import timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sqlalchemy as sa

from intent_tasks.errors import IntentError, Refused
from intent_tasks.steps import extract, publish, validate
from intent_tasks.stores import ledger, postgres
from intent_tasks.stores.contracts import consent_profile
from intent_tasks.stores.privacy import consent, consent_record, exporting
from tests.conftest import copy_of
from tests.database.conftest import CUSTOMERS, DAY, add, event, make_small_shop, pin, score
from tests.database.test_consent import change_shop, learned_from, published
from tests.database.test_export import wanted
from tools.testbed.settings import settings_for

pytestmark = pytest.mark.database

NEXT = DAY + timedelta(days=1)

AS_VIEW = (
    "ALTER TABLE shop.customers RENAME TO people",
    "CREATE VIEW shop.customers AS SELECT {0}, consent_personalisation, consent_marketing, "
    "suppressed FROM shop.people {1}",
)


def as_view(customer_id="customer_id", where=""):
    """Return statements that put a view in the place of the table."""
    return [statement.format(customer_id, where) for statement in AS_VIEW]


LOST = {
    "emptied": ["TRUNCATE shop.customers"],
    "half loaded": ["DELETE FROM shop.customers WHERE right(customer_id, 1) < '5'"],
    "hidden by row security": ["ALTER TABLE shop.customers ENABLE ROW LEVEL SECURITY"],
    "hidden by a view": as_view(where="WHERE current_user = 'somebody else'"),
    "ids in capitals": as_view("upper(customer_id) AS customer_id"),
    "ids padded": as_view("customer_id || ' ' AS customer_id"),
    "ids with zeros": as_view("replace(customer_id, ' ', ' 0') AS customer_id"),
}
"""Ways in which a record of consent is lost between two nights."""

ON_THE_FIRST_DAY = ("emptied", "hidden by row security", "ids in capitals")
"""Half a table looks like a shop with guests; see `WITHOUT_A_ROW`."""

WITHOUT_A_ROW = {
    "half loaded": "right(customer_id, 1) < '5'",
    "guests": "customer_id > 'customer 11'",
}
"""Customers whose row is missing, by why: nothing in the data tells the two apart."""

ACCEPTED = """
[customers.rules]
consent_coverage_first_day = { severity = "stop", low = 0.4 }
"""

BETWEEN_STEPS = ("emptied", "half loaded", "hidden by row security", "hidden by a view")
"""Losses that change the number of rows. Other ids are tested below."""


EXCHANGE = "UPDATE shop.customers SET consent_personalisation = NOT consent_personalisation"


def change(settings, statements):
    for statement in statements:
        change_shop(settings, statement)


def say_all(settings, answer):
    """Let everybody say the same of personalisation."""
    change_shop(settings, f"UPDATE shop.customers SET consent_personalisation = {answer}")


@pytest.fixture(scope="module")
def going_once(postgres_server, migrated_database, tmp_path_factory):
    """A shop whose first day is validated and published, and whose second day is scored."""
    with copy_of(postgres_server, migrated_database) as name:
        home = tmp_path_factory.mktemp("going")
        settings = make_small_shop(settings_for(postgres_server, name, home))
        change_shop(settings, "UPDATE shop.customers SET consent_marketing = true")
        for day in (DAY, NEXT):
            extract.run(settings, day)
            pin(settings, day)
            score(settings, day)
        validate.run(settings, DAY)
        publish.run(settings, DAY)
        yield name, home, settings.history_days


@pytest.fixture
def going(postgres_server, going_once, tmp_path):
    """A copy of that shop, to change."""
    database, home, history_days = going_once
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    with copy_of(postgres_server, database) as name:
        yield settings_for(postgres_server, name, tmp_path, history_days=history_days)


@pytest.mark.parametrize("name", LOST)
def test_a_record_that_is_lost_stops_the_day_and_the_day_before_stays(going, name):
    change(going, LOST[name])
    with pytest.raises(
        Refused, match=r"customers\.consent_coverage_of_usual .* allowed at least 0\.75"
    ):
        validate.run(going, NEXT)
    assert published(going) == set(CUSTOMERS)
    assert ledger.receipt_of(going, "validate", NEXT) is None


@pytest.mark.parametrize("name", ON_THE_FIRST_DAY)
def test_a_record_that_nobody_is_in_stops_the_first_day_too(small_shop, name):
    change(small_shop, LOST[name])
    message = r"consent_coverage .*have a row in shop\.customers: 0 of 24\) is 0, allowed at least"
    with pytest.raises(Refused, match=message):
        validate.run(small_shop, DAY)


@pytest.mark.parametrize("name", WITHOUT_A_ROW)
def test_half_a_record_stops_the_first_day_until_a_person_accepts_it(small_shop, name):
    change_shop(small_shop, f"DELETE FROM shop.customers WHERE {WITHOUT_A_ROW[name]}")
    message = (
        r"customers\.consent_coverage_first_day \(.*: 1[02] of 24\) is 0\.\d+, allowed at least "
        r"0\.75: .*consent_coverage_first_day = \{ severity = .*contract\.toml"
    )
    with pytest.raises(Refused, match=message):
        validate.run(small_shop, DAY)
    (small_shop.home / "contract.toml").write_text(ACCEPTED)
    assert validate.run(small_shop, DAY)["failed"] == []
    assert validate.run(small_shop, NEXT)["failed"] == []


@pytest.mark.parametrize("refused", [1, 4, 20])
def test_a_record_whose_yes_and_no_are_exchanged_stops_the_day(small_shop, refused):
    say_all(small_shop, f"customer_id >= '{CUSTOMERS[refused]}'")
    for n in range(3):
        assert validate.run(small_shop, DAY + timedelta(days=n))["failed"] == []
    change_shop(small_shop, EXCHANGE)
    message = r"consent_personalisation_refused_of_usual .* allowed 0\.5 to 2: .*exchanged"
    with pytest.raises(Refused, match=message):
        validate.run(small_shop, DAY + timedelta(days=3))


def test_a_few_more_refusals_than_usual_stop_no_day(small_shop):
    for n in range(3):
        say_all(small_shop, f"customer_id >= '{CUSTOMERS[n + 1]}'")
        assert validate.run(small_shop, DAY + timedelta(days=n))["failed"] == []


def test_the_days_that_passed_are_what_a_day_is_compared_with(going):
    say_all(going, "customer_id > 'customer 11'")
    for n in range(1, 4):
        validate.run(going, DAY + timedelta(days=n))
    day = DAY + timedelta(days=4)
    record = ledger.receipt_of(going, "validate", DAY + timedelta(days=3))["consent"]
    assert (record["customers"], record["rows"], record["personalisation"]) == (24, 24, 12)
    say_all(going, "true")
    message = (
        r"customers\.consent_personalisation_refused_of_usual .*people who said no have lost it"
    )
    with pytest.raises(Refused, match=message):
        validate.run(going, day)


def test_a_shop_in_which_guests_have_no_row_runs_and_leaves_them_out(scored_shop):
    (scored_shop.home / "contract.toml").write_text(ACCEPTED)
    change_shop(scored_shop, "DELETE FROM shop.customers WHERE customer_id > 'customer 11'")
    for n in range(3):
        assert validate.run(scored_shop, DAY + timedelta(days=n))["failed"] == []
    guests = pa.chunked_array([consent.keys(scored_shop).refused])
    assert len(guests) == 12
    assert not pc.any(consent.keys(scored_shop).have_row(guests)).as_py()
    assert learned_from(scored_shop) == (set(CUSTOMERS[:12]), 12)


def test_customers_without_a_row_are_left_out_and_counted(scored_shop):
    change_shop(scored_shop, f"DELETE FROM shop.customers WHERE customer_id = '{CUSTOMERS[0]}'")
    assert publish.run(scored_shop, DAY)["withdrawn"] == 1
    assert published(scored_shop) == set(CUSTOMERS[1:])
    assert learned_from(scored_shop) == (set(CUSTOMERS[1:]), 1)


def test_any_no_of_several_rows_counts_for_every_purpose(going):
    change_shop(going, "ALTER TABLE shop.customers DROP CONSTRAINT customers_pkey")
    for customer, no in zip(CUSTOMERS, ("false", "NULL"), strict=False):
        change_shop(
            going,
            "INSERT INTO shop.customers (customer_id, consent_personalisation, consent_marketing) "
            f"VALUES ('{customer}', {no}, {no})",
        )
    change_shop(
        going,
        "INSERT INTO shop.customers (customer_id, consent_personalisation, consent_marketing, "
        f"suppressed) VALUES ('{CUSTOMERS[2]}', true, true, true)",
    )
    for purpose in consent.PURPOSES:
        answers = consent.read(going, purpose)
        assert sorted(answers.no.to_pylist()) == CUSTOMERS[:3]
        assert sorted(answers.yes.to_pylist()) == CUSTOMERS[3:]
    assert publish.run(going, NEXT)["withdrawn"] == 3
    made = exporting.export(going, wanted())
    assert (made.customers, made.without_consent) == (21, 3)
    assert not any(customer in made.path.read_text() for customer in CUSTOMERS[:3])
    assert learned_from(going) == (set(CUSTOMERS[3:]), 3)


@pytest.mark.parametrize("name", BETWEEN_STEPS)
def test_every_reader_refuses_when_the_record_is_lost_after_the_contract_was_checked(going, name):
    change(going, LOST[name])
    message = (
        "has changed since the contract was checked for 2026-06-10: 24 customers had a row then"
    )
    with pytest.raises(Refused, match=message):
        publish.run(going, NEXT)
    with pytest.raises(Refused, match=message):
        exporting.export(going, wanted())
    newest = "SELECT max(as_of_date) FROM intent.predictions"
    with postgres.reading(going.analyst_url) as connection:
        assert connection.scalar(sa.text(newest)) == DAY
    assert list(going.home.glob("exports/*")) == []


def test_ids_rewritten_after_scoring_stop_the_publication_and_every_list(going):
    change(going, LOST["ids in capitals"])
    for act in (lambda: publish.run(going, NEXT), lambda: exporting.export(going, wanted())):
        with pytest.raises(Refused, match=r"Of 24 customers .* 0 have a row"):
            act()


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE shop.customers",
        "ALTER TABLE shop.customers RENAME consent_personalisation TO agrees",
        "ALTER TABLE shop.customers DROP COLUMN suppressed",
        "ALTER TABLE shop.customers RENAME TO customers_2",
    ],
)
def test_consent_that_is_not_recorded_any_more_must_be_confirmed(going, statement):
    change_shop(going, statement)
    for act in (validate.run, publish.run):
        with pytest.raises(Refused, match=r"has no .*INTENT_CONSENT_NOT_RECORDED"):
            act(going, NEXT)
    with pytest.raises(Refused, match="INTENT_CONSENT_NOT_RECORDED"):
        consent.learnable(going)
    confirmed = going.model_copy(update={"consent_not_recorded": True})
    validate.run(confirmed, NEXT)
    assert publish.run(confirmed, NEXT)["withdrawn"] == 0


def test_a_shop_that_never_recorded_consent_predicts_everybody(scored_shop):
    change_shop(scored_shop, "DROP TABLE shop.customers")
    assert validate.run(scored_shop, DAY)["consent"] is None
    assert publish.run(scored_shop, DAY)["rows"] == len(CUSTOMERS)
    with pytest.raises(Refused, match="has no column consent_marketing"):
        exporting.export(scored_shop, wanted())


@pytest.mark.parametrize("other_columns", ["suppressed", "consent_marketing"])
@pytest.mark.parametrize("name", ["consent", "gdpr_consent", "profiling_opt_out", "accepts_offers"])
def test_a_known_column_beside_it_does_not_hide_consent_under_another_name(
    small_shop, name, other_columns
):
    change_shop(small_shop, "DROP TABLE shop.customers")
    columns = f"customer_id text, {name} boolean, {other_columns} boolean"
    change_shop(small_shop, f"CREATE TABLE shop.customers ({columns})")
    with pytest.raises(Refused, match=f"{name} looks like consent"):
        validate.run(small_shop, DAY)


def test_a_table_whose_id_has_another_name_is_named(small_shop):
    change_shop(small_shop, "ALTER TABLE shop.customers RENAME customer_id TO id")
    for act in (lambda: validate.run(small_shop, DAY), lambda: consent.keys(small_shop)):
        with pytest.raises(Refused, match=r"shop\.customers has no column customer_id"):
            act()


def test_a_record_that_is_turned_round_stops_publication_and_every_list(going):
    change_shop(going, EXCHANGE)
    with pytest.raises(Refused, match="24 customers said yes to personalisation then, 0 now"):
        publish.run(going, NEXT)


@pytest.mark.parametrize("name", ["consent_personalization", "Marketing_Consent"])
def test_consent_under_another_name_is_not_taken_for_none(small_shop, name):
    change_shop(small_shop, "DROP TABLE shop.customers")
    change_shop(small_shop, f'CREATE TABLE shop.customers (customer_id text, "{name}" boolean)')
    with pytest.raises(Refused, match=f"{name} looks like consent"):
        validate.run(small_shop, DAY)
    with pytest.raises(Refused, match=f"{name} looks like consent"):
        consent.keys(small_shop)


def test_a_table_that_may_not_be_read_is_not_taken_for_an_absent_one(going):
    change_shop(going, "REVOKE SELECT ON shop.customers FROM intent_extract")
    for act in (lambda: publish.run(going, NEXT), lambda: exporting.export(going, wanted())):
        with pytest.raises(Refused, match="permission denied for table customers"):
            act()


def test_a_view_that_fails_is_not_taken_for_an_absent_one(going):
    change(going, as_view("(1 / (length(customer_id) - 11))::text AS customer_id"))
    for act in (lambda: publish.run(going, NEXT), lambda: exporting.export(going, wanted())):
        with pytest.raises(IntentError, match="division by zero"):
            act()
    assert list(going.home.glob("exports/*")) == []


def test_few_customers_a_day_are_counted_over_the_population(small_shop):
    add(small_shop, [event("alone", "a guest", DAY + timedelta(days=25))])
    record = validate.run(small_shop, DAY + timedelta(days=25))["consent"]
    assert (record["days"], record["customers"]) == (small_shop.population_days, 25)
    assert record["shares"]["consent_coverage"] == 0.96


def test_bounds_on_consent_hold_where_a_file_of_thresholds_does_not_name_them(small_shop):
    (small_shop.home / "contract.toml").write_text('[events.rules]\nrows = {severity="stop",low=1}')
    change(small_shop, LOST["emptied"])
    with pytest.raises(Refused, match=r"customers\.consent_coverage"):
        validate.run(small_shop, DAY)


def test_without_the_protection_customers_who_said_no_are_published(going, monkeypatch):
    """The control: the same day with the three protections off."""
    say_all(going, "false")
    change(going, LOST["emptied"])
    monkeypatch.setattr(consent_profile, "profile_consent", lambda *_: None)
    monkeypatch.setattr(consent_record, "require_rows", lambda *_: None)
    monkeypatch.setattr(consent_record, "require_kept", lambda *_: None)
    monkeypatch.setattr(consent, "_are_in", lambda values, _: pc.is_valid(values))
    validate.run(going, NEXT)
    monkeypatch.setattr(
        consent.ConsentKeys, "are_refused", lambda _, keys: pc.invert(pc.is_valid(keys))
    )
    assert publish.run(going, NEXT)["rows"] == len(CUSTOMERS)
