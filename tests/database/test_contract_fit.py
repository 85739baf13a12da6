"""Thresholds fitted on the days of a shop: proposed, accepted, and what they then refuse."""

import shutil
from datetime import timedelta

import pyarrow as pa
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from expectations import thresholds
from intent_tasks import simulator
from intent_tasks.commands import contract as commands
from intent_tasks.errors import BadInput, Refused
from intent_tasks.steps import validate
from intent_tasks.stores import postgres, simulated_shop
from intent_tasks.stores.contracts import contract, prediction_profile, threshold_fitting
from intent_tasks.stores.contracts.profile import Profile
from tests.conftest import copy_of
from tools.testbed import planted_predictions
from tools.testbed.settings import settings_for

pytestmark = pytest.mark.database

CONFIG = simulator.Config(customers=300, days=40)
DAY = CONFIG.last_day
DAYS = [DAY - timedelta(days=n) for n in range(20, 0, -1)]


@pytest.fixture(scope="module")
def fitted_once(postgres_server, migrated_database, tmp_path_factory):
    """A simulated shop with thresholds proposed and accepted for it, from all days but the last."""
    with copy_of(postgres_server, migrated_database) as name:
        settings = settings_for(postgres_server, name, tmp_path_factory.mktemp("fitted"))
        simulated_shop.load(
            settings, "a shop", "digest", simulator.simulate(CONFIG), simulator.catalogue(CONFIG),
            simulator.customers(CONFIG),
        )  # fmt: skip
        events = pa.concat_tables(simulator.simulate(CONFIG))
        planted_predictions.publish(settings, CONFIG, events, [*DAYS, DAY])
        _trained(settings, DAYS[::4])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(commands, "load_settings", lambda: settings)
            _run("fit", "--first-day", str(DAYS[0]), "--last-day", str(DAYS[-1]))
            _run("accept")
        yield name, settings.home


@pytest.fixture
def fitted_shop(postgres_server, fitted_once, tmp_path, monkeypatch):
    """A copy of that shop, to change."""
    database, home = fitted_once
    shutil.copy(home / thresholds.FILE, tmp_path)
    with copy_of(postgres_server, database) as name:
        settings = settings_for(postgres_server, name, tmp_path)
        monkeypatch.setattr(commands, "load_settings", lambda: settings)
        yield settings


def _trained(settings, days):
    """Write down what was measured of training sets: the shape that trainings leave behind."""
    limits = thresholds.parse(thresholds.SHIPPED)["training_set"]
    for n, day in enumerate(days):
        numbers = dict.fromkeys(limits.rules, 0.0) | {"train_base_rate": 0.1 + n / 1000}
        meanings = dict.fromkeys(limits.rules, "")
        of = Profile("training_set", 100, numbers, limits.rules, meanings)
        contract._write(settings, day, contract.Result(of, [], "page"))


def _run(*arguments):
    result = CliRunner().invoke(commands.app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def _change(settings, statement):
    with postgres.changing(settings.shop_owner_url, "shop") as connection:
        connection.execute(sa.text(statement))


def test_a_proposal_is_shown_as_a_diff_and_accepted_by_a_person(fitted_shop):
    file = fitted_shop.home / thresholds.FILE
    text = file.read_text()
    assert "c00000" not in text  # no customer
    outcome = _run("fit", "--first-day", str(DAY - timedelta(days=15)), "--last-day", str(DAY))
    assert "-# Thresholds of this shop" in outcome
    assert file.read_text() == text
    assert _run("diff") in outcome
    with pytest.raises(BadInput, match="14 are needed"):
        _run("fit", "--first-day", str(DAY), "--last-day", str(DAY))


def test_the_rules_are_listed_with_what_they_allow(fitted_shop):
    assert "events.price_p50: 50 % of prices are below this. stop: " in _run("show", "events")
    with pytest.raises(BadInput, match="no suite 'event'"):
        _run("show", "event")


def test_a_clean_day_passes_and_prices_in_cents_are_refused_with_what_is_allowed(fitted_shop):
    assert not [r for r in validate.run(fitted_shop, DAY)["failed"] if "price" in r]
    _change(fitted_shop, f"UPDATE shop.events SET price = price * 100 WHERE ingested_at >= '{DAY}'")
    with pytest.raises(Refused, match=r"events\.price_p50 \(50 % of prices .*allowed \d+"):
        validate.run(fitted_shop, DAY)


def test_a_column_that_was_there_when_it_was_fitted_may_not_vanish(fitted_shop):
    _change(fitted_shop, "ALTER TABLE shop.events DROP COLUMN channel")
    with pytest.raises(Refused, match=r"column_channel .*missing"):
        validate.run(fitted_shop, DAY)


def _predictions_broken(settings, day):
    limits = thresholds.read(settings.home)["predictions"]
    with postgres.reading(settings.pipeline_url) as connection:
        (base_rate, scored) = connection.execute(
            sa.text("SELECT avg(probability_7d), count(*) FROM intent.predictions "
                    "WHERE as_of_date = :day"), {"day": day},
        ).one()  # fmt: skip
        pinned = prediction_profile.Pinned(planted_predictions.VERSION, base_rate)
        of = prediction_profile.profile_predictions(connection, limits, day, pinned, scored)
    return {name for name, bound in of.bounds.items() if not bound.allows(of.numbers[name])}


CHANGED = {
    "agreement_with_last_day": "probability_7d = 1 - probability_7d",
    "same_as_last_day": "probability_7d = (SELECT b.probability_7d FROM intent.predictions AS b "
    "WHERE b.as_of_date = p.as_of_date - 1 AND b.customer_id = p.customer_id)",
    "probability_variety": "probability_7d = 0.1",
    "other_version": "model_version = 1",
    "band_drift": "band = 'hot'",
}


@pytest.mark.parametrize("hot", [True, False])
def test_a_day_without_the_customers_who_were_hot_is_noticed(fitted_shop, hot):
    with postgres.changing(fitted_shop.pipeline_url, "break") as connection:
        connection.execute(sa.text(
            f"DELETE FROM intent.predictions AS p WHERE as_of_date = '{DAY}' AND customer_id IN "
            "(SELECT b.customer_id FROM intent.predictions AS b "
            f"WHERE b.as_of_date = p.as_of_date - 1 AND (b.band = 'hot') = {hot})"
        ))  # fmt: skip
    assert ("hot_lost" in _predictions_broken(fitted_shop, DAY)) == hot


@pytest.mark.parametrize("rule", CHANGED)
def test_predictions_are_judged_by_what_was_published_before(fitted_shop, rule):
    assert _predictions_broken(fitted_shop, DAY) == set()
    both = "EXISTS (SELECT FROM intent.predictions AS b WHERE b.customer_id = p.customer_id"
    with postgres.changing(fitted_shop.pipeline_url, "break") as connection:
        connection.execute(sa.text(
            f"UPDATE intent.predictions AS p SET {CHANGED[rule]} WHERE as_of_date = '{DAY}' "
            f"AND {both} AND b.as_of_date = p.as_of_date - 1)"
        ))  # fmt: skip
    assert rule in _predictions_broken(fitted_shop, DAY)


def test_a_training_set_is_judged_by_those_that_passed(fitted_shop):
    bound = thresholds.read(fitted_shop.home)["training_set"].rules["train_base_rate"]
    assert bound.allows(0.1)
    assert not bound.allows(0.3)


def test_with_too_few_days_of_predictions_what_is_shipped_stays(settings):
    shipped = thresholds.parse(thresholds.SHIPPED)
    with postgres.reading(settings.pipeline_url) as connection:
        assert (
            threshold_fitting.fit_predictions(connection, DAYS, shipped["predictions"], print)
            is None
        )
        assert (
            threshold_fitting.fit_training_sets(connection, DAYS, shipped["training_set"]) is None
        )
