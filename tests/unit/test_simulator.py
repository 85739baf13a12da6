"""The simulated shop: same seed, same rows; every event has the one it follows from."""

import errno
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from intent_tasks import tables
from intent_tasks.cli import app
from intent_tasks.definition import EVENT_TYPES
from intent_tasks.errors import BadInput
from intent_tasks.simulator import (
    Config,
    catalogue,
    customers,
    digest,
    files,
    next_categories,
    simulate,
    write,
)
from intent_tasks.simulator.config import BLOCK

SMALL = Config(customers=3 * BLOCK, days=60)


@pytest.fixture(scope="module")
def events() -> pd.DataFrame:
    return pa.concat_tables(simulate(SMALL)).to_pandas()


def test_the_same_seed_gives_the_same_rows_whatever_the_chunking():
    one, three = (pa.concat_tables(simulate(SMALL, blocks)) for blocks in (1, 3))
    assert one.equals(three)
    assert len(list(simulate(SMALL, 2))) == 2


def test_another_seed_gives_other_rows_and_another_digest():
    other = replace(SMALL, seed=8)
    assert digest(other) != digest(SMALL) == digest(replace(SMALL))
    assert not next(simulate(other)).equals(next(simulate(SMALL)))


@pytest.mark.parametrize(
    ("made", "table"),
    [
        (lambda: next(simulate(SMALL)), tables.events),
        (lambda: catalogue(SMALL), tables.products),
        (lambda: customers(SMALL), tables.customers),
    ],
)
def test_the_columns_are_those_of_the_contract(made, table):
    rows = made()
    assert rows.column_names == [column.name for column in table.columns]
    for column in table.columns:
        assert column.nullable or rows[column.name].null_count == 0, column.name


SIMULATED_TYPES = {"view", "click", "search", "cart", "remove", "purchase", "review", "refund"}


def test_all_event_types_occur_and_ids_are_unique(events):
    assert set(events.event_type) == SIMULATED_TYPES <= set(EVENT_TYPES)
    assert events.event_id.is_unique
    assert events.product_id.dropna().isin(catalogue(SMALL)["product_id"].to_pylist()).all()


def test_events_are_in_order_of_time_within_the_days_of_the_shop(events):
    assert events.groupby("customer_id").occurred_at.is_monotonic_increasing.all()
    days = events.occurred_at.dt.date
    assert days.min() >= SMALL.first_day
    assert days.max() <= SMALL.last_day
    assert (events.ingested_at > events.occurred_at).all()
    assert events.groupby("session_id").customer_id.nunique().max() == 1


def test_nothing_is_removed_or_bought_that_was_not_carted_that_day(events):
    change = events.event_type.map({"cart": 1, "remove": -1, "purchase": -1}).fillna(0)
    key = [events.customer_id, events.occurred_at.dt.date, events.product_id]
    in_cart = (change * events.quantity.fillna(0)).groupby(key).cumsum()
    assert in_cart.min() == 0


def test_reviews_and_refunds_are_of_bought_products_and_no_more_than_bought(events):
    for kind in ("review", "refund"):
        change = events.event_type.map({"purchase": 1, kind: -1}).fillna(0)
        left = change.groupby([events.customer_id, events.product_id]).cumsum()
        assert left[events.product_id.notna()].min() == 0, kind


def test_customers_do_nothing_before_they_join(events):
    known = customers(SMALL).to_pandas().set_index("customer_id")
    first = events.groupby("customer_id").occurred_at.min()
    assert (first >= known.created_at[first.index]).all()


def test_sessions_start_in_categories_as_often_as_the_true_distribution_says(events):
    first = events.groupby("session_id").first()
    goods = catalogue(SMALL).to_pandas().set_index("product_id").category_path
    leaves = list(dict.fromkeys(goods))
    seen = goods[first.product_id].value_counts().reindex(leaves, fill_value=0).to_numpy()
    expected = np.zeros(len(leaves))
    for block in range(SMALL.blocks):
        tastes = next_categories(SMALL, block, SMALL.days - 1)
        of_block = first.customer_id.str[1:].astype(int) - block * BLOCK
        sessions = of_block[(of_block >= 0) & (of_block < BLOCK)].value_counts()
        expected += sessions.to_numpy() @ tastes[sessions.index]
    assert (abs(seen - expected) < 5 * np.sqrt(expected)).all()
    assert abs(seen / seen.sum() - 1 / len(leaves)).max() > 0.01


def test_it_looks_like_a_shop():
    shop = pa.concat_tables(simulate(Config())).to_pandas()
    bought = shop[shop.event_type == "purchase"]
    assert 0.02 < len(bought) / shop.session_id.nunique() < 0.04
    last_weeks = bought[bought.occurred_at >= "2026-05-12"]
    weekly = last_weeks.groupby((last_weeks.occurred_at.dt.day_of_year - 132) // 7).customer_id
    assert weekly.nunique()[:7].min() >= 300
    per_customer = shop.customer_id.value_counts()
    assert per_customer.quantile(0.99) > 4 * per_customer.median()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("customers", 0),
        ("days", 0),
        ("days", 10**7),
        ("last_day", date(1, 1, 2)),
        ("products", 50),
        ("seed", -1),
        ("wake", 1.5),
        ("refund", -0.1),
        ("changes", ((1, 2),)),
        ("changes", ((5, 5, 2.0),)),
        ("prices", ((1, 5, 0.0, 1.0),)),
        ("prices", ((1, 5, 1.0),)),
        ("price_response", (1.0,)),
        ("coupon", (1, 5, 2.0)),
        ("coupon", ((1, 5, -2.0),)),
        ("mix", ((1, 5, 8, 2.0),)),
        ("moves", ((0.9, 0.9, 0, 0),) * 3),
        ("buy", (2.0,) * 5),
        ("type_shares", (0.5, 0.5, 0.5, 0.5, 0.5)),
        ("sessions", (1.0, 2.0)),
        ("sessions", (float("nan"),) * 5),
    ],
)
def test_impossible_numbers_are_refused_by_name(field, value):
    with pytest.raises(BadInput, match=f"{field}=.*allowed"):
        replace(SMALL, **{field: value})


def test_a_folder_gets_three_files(tmp_path):
    arguments = ["--customers", "20", "--days", "9", "--to", str(tmp_path / "shop")]
    result = CliRunner().invoke(app, ["simulate", *arguments])
    assert result.exit_code == 0, result.output
    names = sorted(path.name for path in (tmp_path / "shop").iterdir())
    assert names == ["customers.parquet", "events.parquet", "products.parquet"]


@pytest.mark.parametrize("inside", [".", "deeper"])
def test_a_folder_that_cannot_be_is_refused(tmp_path, inside):
    (tmp_path / "shop").write_text("mine")
    with pytest.raises(BadInput, match="cannot be written to"):
        write(SMALL, tmp_path / "shop" / inside)


def test_a_shop_does_not_land_where_no_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["simulate", "--to", "", "--customers", "5", "--days", "3"])
    assert isinstance(result.exception, BadInput)
    assert "name a folder" in str(result.exception)
    assert not list(tmp_path.iterdir())


def test_a_file_bears_its_name_only_once_it_is_whole(tmp_path, monkeypatch):
    write(SMALL, tmp_path, {"late": 0.1})
    before = (tmp_path / "events.parquet").read_bytes()

    def broken(*_: object) -> None:
        yield next(simulate(SMALL))
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files.PlantedShop, "events", broken)
        with pytest.raises(KeyboardInterrupt):
            write(replace(SMALL, seed=8), tmp_path)
    assert (tmp_path / "events.parquet").read_bytes() == before
    assert not list(tmp_path.glob("*.part"))
    write(SMALL, tmp_path)
    assert not (tmp_path / "answers.parquet").exists()  # they were of the shop before


def test_a_full_disk_is_not_blamed_on_the_folder(tmp_path, monkeypatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "_stream", full)
    with pytest.raises(OSError, match="No space left"):
        write(SMALL, tmp_path)


def test_the_page_about_it_is_current():
    from tools.docs import generate_simulator

    events = pa.concat_tables(simulate(Config()))
    compared = generate_simulator.marginals_of_shops(events)
    written = generate_simulator.PAGE.read_text(encoding="utf-8")
    assert written == generate_simulator.page(compared), "run `make docs`"
