"""The simulated shop in Postgres: loaded once, read back as it was made."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from intent_tasks import cli, simulator
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.steps import run_step
from intent_tasks.stores import postgres

pytestmark = pytest.mark.database

SMALL = simulator.Config(customers=40, days=40)
OPTIONS = ["simulate", "--to", "shop", "--customers", "40", "--days", "40"]


@pytest.fixture
def simulate(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cli, "load_settings", lambda: settings)
    return lambda *more: CliRunner().invoke(cli.app, [*OPTIONS, *more])


def test_the_shop_is_loaded_once_and_whole(simulate, settings: Settings):
    made = pa.concat_tables(simulator.simulate(SMALL))
    first, second = simulate(), simulate()
    assert (first.exit_code, second.exit_code) == (0, 0), first.output + str(first.exception)
    assert first.output == f"{made.num_rows} events written.\n"
    assert second.output == "This shop is already loaded.\n"
    query = (
        "select count(*), count(distinct customer_id), sum(price), "
        "(select count(*) from shop.customers), "
        "(select to_json(image_embedding) from shop.products where product_id = 'p000003') "
        "from shop.events"
    )
    with postgres.changing(settings.shop_owner_url, "test") as connection:
        row = connection.exec_driver_sql(query).one()
    assert row[:2] == (made.num_rows, len(made["customer_id"].unique()))
    assert row[2] == pytest.approx(sum(made["price"].drop_null().to_pylist()))
    assert row[3] == 40
    expected = simulator.catalogue(SMALL)["image_embedding"][3].as_py()
    assert (json.loads(row[4]) if isinstance(row[4], str) else row[4]) == expected


def test_another_shop_is_refused(simulate):
    simulate()
    assert isinstance(simulate("--seed", "8").exception, Refused)


def test_plants_are_loaded_and_answered(simulate, settings: Settings):
    plants = ("late", "duplicates", "units", "poison")
    result = simulate(*(part for name in plants for part in ("--plant", name)))
    assert result.exit_code == 0, result.output + str(result.exception)
    answers = pq.read_table(settings.home / "answers.parquet").to_pandas()
    assert set(answers.plant) == set(plants)
    with postgres.changing(settings.shop_owner_url, "test") as connection:
        poisoned = connection.exec_driver_sql(
            "select count(*) from shop.events where event_id like 'poison-%%'"
        ).scalar_one()
    # The one more is the duplicate, which bears the id of a good row.
    assert poisoned + 1 == (answers.plant == "poison").sum()


def test_the_poisoned_day_is_extracted_and_the_poison_set_aside(simulate, settings: Settings):
    simulate("--plant", "poison")
    answers = pq.read_table(settings.home / "answers.parquet").to_pandas()
    with postgres.changing(settings.shop_owner_url, "test") as connection:
        day = connection.exec_driver_sql(
            "select min(ingested_at at time zone 'UTC')::date from shop.events "
            "where event_id like 'poison-%%'"
        ).scalar_one()
    # In a shop so small the poison is more of the day than may usually be set aside.
    receipt = run_step(settings.model_copy(update={"quarantine_share": 0.5}), "extract", day, {})
    assert 0 < receipt["rows_quarantined"] <= len(answers)
