"""Thresholds fitted on the days of a shop: proposed, accepted, and what they then refuse."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from expectations import thresholds
from intent_tasks import simulator
from intent_tasks.commands import contract as commands
from intent_tasks.errors import BadInput, Refused
from intent_tasks.steps import validate
from intent_tasks.stores import postgres, shop

pytestmark = pytest.mark.database

CONFIG = simulator.Config(customers=500, days=40)
DAY = CONFIG.last_day


@pytest.fixture
def fitted_shop(settings, monkeypatch):
    """A simulated shop with thresholds proposed and accepted for it, from all days but the last."""
    shop.load(
        settings, "a shop", "digest", simulator.simulate(CONFIG), simulator.catalogue(CONFIG),
        simulator.customers(CONFIG),
    )  # fmt: skip
    monkeypatch.setattr(commands, "load_settings", lambda: settings)
    _run("fit", "--first-day", str(DAY - timedelta(days=20)), "--last-day", str(_before()))
    _run("accept")
    return settings


def _before():
    return DAY - timedelta(days=1)


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
    said = _run("fit", "--first-day", str(DAY - timedelta(days=15)), "--last-day", str(DAY))
    assert "-# Thresholds of this shop" in said
    assert file.read_text() == text
    assert _run("diff") in said
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
