"""What is planted into the simulated shop is what the answers say, and nothing else changes."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from intent_tasks.cli import app
from intent_tasks.core.rules import broken_rules
from intent_tasks.errors import BadInput
from intent_tasks.simulator import Config, PlantedShop, simulate, write
from intent_tasks.simulator.bayes_optimal import probabilities
from intent_tasks.simulator.catalogue import ROOTS, catalogue, given_coupon
from intent_tasks.simulator.changes import CHANGES
from intent_tasks.simulator.observed import Observed
from intent_tasks.simulator.planted import parse
from intent_tasks.simulator.plants import PLANTS
from intent_tasks.simulator.poison import KINDS, NOT_IN_POSTGRES
from intent_tasks.simulator.process import PURCHASE
from intent_tasks.simulator.shop import block_of_days

SMALL = Config(customers=700, days=60)


@pytest.fixture(scope="module")
def plain() -> pd.DataFrame:
    return pa.concat_tables(simulate(SMALL)).to_pandas().set_index("event_id")


def planted(**plants: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    shop = PlantedShop(SMALL, plants)
    events = pa.concat_tables(list(shop.events())).to_pandas()
    return events.set_index("event_id"), shop.answers().to_pandas()


@pytest.fixture
def all_plants() -> dict[str, float]:
    return {name: plant.amount for name, plant in (PLANTS | CHANGES).items()} | {"heavy": 50.0}


def test_the_same_seed_plants_the_same_whatever_the_chunking(all_plants):
    one, two = PlantedShop(SMALL, all_plants), PlantedShop(SMALL, all_plants)
    rows = [pa.concat_tables(shop.events(n)) for shop, n in ((one, 1), (two, 2))]
    # NaN is not equal to itself: the poisoned prices are compared apart.
    assert rows[0].drop(["price"]).equals(rows[1].drop(["price"]))
    np.testing.assert_array_equal(rows[0]["price"].to_numpy(), rows[1]["price"].to_numpy())
    assert one.answers().equals(two.answers())
    assert set(one.answers()["plant"].to_pylist()) == set(all_plants)


def test_late_events_arrive_as_late_as_answered(plain):
    events, answers = planted(late=0.1)
    delay = (events.ingested_at - plain.ingested_at).dt.days
    late = delay[delay > 0]
    assert late.to_dict() == answers.set_index("event_id").value.astype(int).to_dict()
    assert 0.08 < len(late) / len(plain) < 0.12
    assert set(late) == {1, 2, 3, 4, 5}


def test_duplicates_are_the_answered_events_once_more(plain):
    events, answers = planted(duplicates=0.02)
    repeated = events.index[events.index.duplicated()]
    assert sorted(repeated) == sorted(answers.event_id)
    assert len(events) == len(plain) + len(answers) > len(plain)


def test_refunds_follow_purchases_that_had_none(plain):
    events, answers = planted(refunds=0.5)
    added = events.loc[answers.event_id]
    bought = plain.loc[answers.event_id.str.removesuffix("-r")]
    assert len(added) > 20
    assert (added.event_type == "refund").all()
    assert (bought.event_type == "purchase").all()
    assert (added.occurred_at.to_numpy() > bought.occurred_at.to_numpy()).all()
    assert added.product_id.tolist() == bought.product_id.tolist()


def test_bots_are_the_answered_customers():
    events, answers = planted(bots=0.01)
    views = events.customer_id.value_counts()
    assert len(answers) > 0
    assert (views[answers.customer_id] == 2000).all()
    assert set(events.customer_id[events.customer_id.str.startswith("bot")]) == set(
        answers.customer_id
    )


def test_one_heavy_customer_has_the_answered_events():
    events, answers = planted(heavy=3000)
    assert (events.customer_id == "heavy").sum() == answers.value.item() == 3000


def test_prices_change_unit_on_the_answered_day(plain):
    events, answers = planted(units=100)
    factor = (events.price / plain.price).dropna()
    after = plain.occurred_at.dt.date[factor.index] >= answers.day.item()
    np.testing.assert_allclose(factor, np.where(after, 100, 1))
    assert after.any()
    assert not after.all()


def test_the_clock_is_moved_on_the_answered_day(plain):
    events, answers = planted(time_zone=-3)
    moved = (events.occurred_at - plain.occurred_at).dt.total_seconds() / 3600
    after = plain.occurred_at.dt.date >= answers.day.item()
    np.testing.assert_allclose(moved, np.where(after, -3, 0))


def test_half_of_the_answered_day_is_lost(plain):
    events, answers = planted(half_day=0.5)
    lost = plain.loc[plain.index.difference(events.index)]
    assert sorted(lost.index) == sorted(answers.event_id)
    assert set(lost.occurred_at.dt.date) == set(answers.day)
    of_day = (plain.occurred_at.dt.date == answers.day[0]).sum()
    assert 0.3 < len(lost) / of_day < 0.7


def test_every_kind_of_poison_is_there_once_and_postgres_is_spared_what_it_cannot_hold():
    assert len(KINDS) >= 16
    for for_postgres, left_out in ((False, set()), (True, NOT_IN_POSTGRES)):
        shop = PlantedShop(SMALL, {"poison": 1}, for_postgres)
        rows = sum(table.num_rows for table in shop.events())
        answers = shop.answers()["kind"].to_pylist()
        assert sorted(answers) == sorted(set(KINDS) - left_out)
        assert rows == sum(t.num_rows for t in simulate(SMALL)) + len(answers)


def test_poison_breaks_rules_and_good_rows_do_not():
    shop = PlantedShop(SMALL, {"poison": 1}, for_postgres=True)
    first = next(shop.events())
    broken = np.array(broken_rules(first).to_pylist()) != ""
    ids = np.array(first["event_id"].to_pylist())[broken]
    assert {"poison-negative_price", "poison-unknown_type", "poison-nan_price"} <= set(ids)
    assert all(i.startswith("poison-") for i in ids if "-00000" not in i)


def days_of(events: pd.DataFrame, config: Config) -> np.ndarray:
    return (events.occurred_at - pd.Timestamp(config.first_day, tz="UTC")).dt.days.to_numpy()


@pytest.mark.parametrize(("name", "level"), [("sale", 0.7), ("price_jump", 1.5), ("inflation", 2)])
def test_prices_move_from_the_answered_day_on_and_customers_with_them(name, level):
    config = Config(customers=4000, days=64)
    shop = PlantedShop(config, {name: level})
    events = pa.concat_tables(list(shop.events(8))).to_pandas()
    answer = shop.answers().to_pylist()
    assert [(row["plant"], row["value"]) for row in answer] == [(name, level)]
    listed = catalogue(config).to_pandas().set_index("product_id").price
    # A refund pays back what was paid, at the level of the day of the purchase.
    priced = events[events.price.notna() & (events.event_type != "refund")]
    found = priced.price.to_numpy() / listed[priced.product_id].to_numpy()
    first = (answer[0]["day"] - config.first_day).days
    day = days_of(priced, config) - first
    grown = np.clip(day / (config.days - first - 1), 0, 1) if name == "inflation" else day >= 0
    expected = np.where(day >= 7 if name == "sale" else False, 1.0, float(level) ** grown)
    np.testing.assert_allclose(found, expected, rtol=0.011)
    plain = pa.concat_tables(list(simulate(config, 8))).to_pandas()
    end = first + 7 if name == "sale" else config.days
    bought, usual = (
        ((e.event_type == "purchase") & (first < days_of(e, config)) & (days_of(e, config) < end))
        for e in (events, plain)
    )
    assert bought.sum() > 1.2 * usual.sum() if level < 1 else bought.sum() < 0.8 * usual.sum()


def test_a_refund_pays_back_what_was_paid():
    config = Config(customers=2000, days=40, prices=((10, 40, 1.0, 4.0),))
    events = pa.concat_tables(simulate(config)).to_pandas()
    paid = events[events.event_type.isin(["purchase", "refund"])]
    previous = paid.groupby("customer_id").price.shift()
    refunds = paid.event_type == "refund"
    assert refunds.sum() > 10
    np.testing.assert_array_equal(paid.price[refunds], previous[refunds])


def test_the_product_mix_shifts_on_the_answered_day_and_nothing_else_does():
    shop = PlantedShop(SMALL, {"mix": 6.0})
    events = pa.concat_tables(list(shop.events())).to_pandas()
    plain = pa.concat_tables(simulate(SMALL)).to_pandas()
    answer = shop.answers().to_pylist()[0]
    assert answer["value"] == 6
    department = catalogue(SMALL).to_pandas().set_index("product_id").category_path.str.split(".")
    first = shop.config.mix[0][0]
    shares = []
    for rows in (events, plain):
        views = rows[rows.event_type == "view"]
        of_first = department.str[0][views.product_id].to_numpy() == ROOTS[0]
        days = days_of(views, SMALL)
        shares.append([of_first[days < first].mean(), of_first[days >= first].mean()])
    assert shares[0][0] == shares[1][0]
    assert shares[0][1] > 2 * shares[1][1]
    same = ["event_id", "event_type", "occurred_at", "customer_id", "session_id"]
    pd.testing.assert_frame_equal(events[same], plain[same])


@pytest.mark.parametrize(("name", "share"), [("peak", 0.5), ("drift", 2 / 3)])
def test_customers_change_on_the_answered_day(name, share):
    shop = PlantedShop(SMALL, {name: 3.0})
    answer = shop.answers().to_pylist()[0]
    factors = shop.config.day_factors / SMALL.day_factors
    first = (answer["day"] - SMALL.first_day).days
    assert first == int(SMALL.days * share)
    end = first + 7 if name == "peak" else SMALL.days
    np.testing.assert_allclose(factors[first:end], 3)
    assert (factors[:first] == 1).all()
    assert (factors[end:] == 1).all()


def test_the_coupon_has_the_effect_that_is_answered():
    shop = PlantedShop(Config(customers=15000, days=50), {"coupon": 3.0})
    events = pa.concat_tables(list(shop.events(10))).to_pandas()
    answers = shop.answers().to_pandas()
    first, end = (shop.config.first_day + timedelta(days=int(d)) for d in shop.config.coupon[0][:2])
    days = events.occurred_at.dt.date
    buys = events[(events.event_type == "purchase") & (days >= first) & (days < end)]
    answers["bought"] = answers.customer_id.isin(buys.customer_id)
    given, other = (answers[answers.kind == kind] for kind in ("given", "not given"))
    difference = given.bought.mean() - other.bought.mean()
    error = sum(part.bought.var() / len(part) for part in (given, other)) ** 0.5
    assert abs(difference - answers.value.mean()) < 4 * error
    assert difference > 4 * error
    assert (answers.value >= 0).all()


def test_the_limit_knows_the_coupon():
    shop = PlantedShop(Config(customers=6000, days=60), {"coupon": 4.0})
    config, first = shop.config, int(shop.config.coupon[0][0])
    drawn = [block_of_days(config, number)[0] for number in range(config.blocks)]
    given = np.concatenate([given_coupon(config, number) for number in range(config.blocks)])
    seen = Observed(
        np.concatenate([d.joined for d in drawn]),
        np.concatenate([d.sessions for d in drawn], axis=1),
        np.concatenate([d.kinds for d in drawn], axis=1),
    )
    anchor = first + 2
    bought = (seen.kinds[anchor + 1 : anchor + 4, :, PURCHASE] > 0).any(0)
    for who, known in ((given, config), (~given, replace(config, coupon=()))):
        chance = probabilities(known, seen, anchor, [3])[:, 0][who & (seen.joined <= anchor)]
        came = bought[who & (seen.joined <= anchor)]
        assert abs(came.sum() - chance.sum()) < 4 * (chance * (1 - chance)).sum() ** 0.5


def test_amounts_are_read_and_the_usual_is_taken_otherwise():
    assert parse(["late=0.2", "bots"]) == {"late": 0.2, "bots": PLANTS["bots"].amount}


@pytest.mark.parametrize("text", ["late=2", "late=x", "late=nan", "peak=-1", "time_zone=20"])
def test_an_amount_out_of_range_is_refused_with_the_range(text):
    with pytest.raises(BadInput, match=r"amount must be .* to"):
        parse([text])


def test_an_unknown_plant_is_refused_with_all_that_are_known():
    with pytest.raises(BadInput) as refused:
        parse(["help"])
    assert all(name in str(refused.value) for name in (*PLANTS, *CHANGES))


def test_the_help_names_every_plant():
    texts = [CliRunner().invoke(app, ["simulate", f"--{o}"]) for o in ("help", "plants")]
    assert all(name in text.output for text in texts for name in (*PLANTS, *CHANGES))
    assert [text.exit_code for text in texts] == [0, 0]


def test_a_folder_gets_the_answers_too(tmp_path):
    write(SMALL, tmp_path, {"late": 0.1, "poison": 1})
    answers = pq.read_table(tmp_path / "answers.parquet").to_pandas()
    assert set(answers.plant) == {"late", "poison"}
