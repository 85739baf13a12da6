"""The category looked at next, given what is seen: against a grid over taste, and calibrated."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from intent_tasks.simulator import Config, catalogue, customers, next_categories, simulate
from intent_tasks.simulator.catalogue import category_paths
from intent_tasks.simulator.looks import Looks, look
from intent_tasks.simulator.observed import observe
from intent_tasks.simulator.process import KINDS
from intent_tasks.simulator.taste import Categories, next_category

VECTORS = np.array([[1.5, 0.0], [-0.5, 2.0], [-1.0, -1.5], [0.4, -0.3]])
WEIGHTS = np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.1, 0.1, 0.7]])
TINY = Categories(VECTORS, WEIGHTS, np.array([0, 0, 1, 1]))
SESSIONS = {
    0: [],
    1: [(0, [2])],
    2: [(0, [2, 2, 2, 0]), (1, [2, 3])],
    3: [(0, [0]), (0, [0, 0, 0, 0, 0, 0]), (1, [0, 1]), (2, [3, 0]), (2, [0])],
    4: [(2, [1, 1, 3, 1]), (2, [1])],
}
"""Of five customers: day, and category of each new product."""


def looks() -> Looks:
    rows, number = [], 0
    for customer, sessions in SESSIONS.items():
        for day, leaves in sessions:
            counts = np.bincount(leaves)
            rows += [(customer, number, k, counts[k], day) for k in np.flatnonzero(counts)]
            number += 1
    return Looks(len(SESSIONS), *np.array(rows).T)


def on_a_grid(customer: int, day: int, period: int) -> np.ndarray:
    """Return the distribution by summing over what each session and each view may be about."""
    axis = np.linspace(-6, 6, 241)
    taste = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    exact = np.exp(-(taste**2).sum(1) / 2)
    liked = np.exp(0.6 * taste @ VECTORS.T)
    shares = [liked * w / (liked * w).sum(1, keepdims=True) for w in WEIGHTS]
    for on, leaves in SESSIONS[customer]:
        if on > day:
            continue
        share = shares[TINY.period[on]]
        exact = exact * sum(
            share[:, about]
            * np.prod([0.8 * (leaf == about) + 0.2 * share[:, leaf] for leaf in leaves], axis=0)
            for about in range(4)
        )
    return exact @ shares[period] / exact.sum()


@pytest.mark.parametrize(("day", "period"), [(0, 0), (1, 1), (3, 1)])
def test_it_equals_the_sum_over_taste_and_all_that_sessions_may_be_about(day, period):
    found = next_category(TINY, looks(), day, draws=20_000)
    exact = np.array([on_a_grid(customer, day, period) for customer in SESSIONS])
    assert found.error.max() < 0.004
    assert (abs(found.probability - exact) < 4 * found.error + 1e-6).all()
    np.testing.assert_allclose(found.probability.sum(1), 1)


def test_the_estimated_error_is_the_actual_error():
    exact = next_category(TINY, looks(), 3, draws=50_000).probability
    samples = [next_category(TINY, looks(), 3, 300, seed) for seed in range(200)]
    made = np.sqrt(np.mean([(t.probability - exact) ** 2 for t in samples], axis=0))
    expected = np.sqrt(np.mean([t.error**2 for t in samples], axis=0))
    np.testing.assert_allclose(made, expected, rtol=0.25)


@pytest.fixture(scope="module", params=[(), ((40, 60, 0, 6.0),)], ids=["even mix", "other mix"])
def shop(request) -> tuple[Config, pa.Table, Looks]:
    config = Config(customers=1000, days=60, mix=request.param)
    events = pa.concat_tables(simulate(config))
    mixed = events.take(np.random.default_rng(1).permutation(events.num_rows))
    return config, events, look(config, mixed, customers(config), catalogue(config))


def test_events_alone_determine_the_viewed_categories(shop):
    config, events, seen = shop
    counts = observe(config, events, customers(config))
    views = np.zeros((config.days, config.customers), int)
    np.add.at(views, (seen.day, seen.customer), seen.views)
    np.testing.assert_array_equal(views, counts.kinds[..., KINDS.index("view")] + counts.sessions)
    assert seen.session.max() + 1 == counts.sessions.sum()


def after(config: Config, events: pa.Table, day: int) -> pd.Series:
    """Return the category of the first product of the next session of each who has one."""
    rows = events.to_pandas()
    first = rows[(rows.occurred_at - pd.Timestamp(config.first_day, tz="UTC")).dt.days > day]
    first = first.groupby("customer_id").product_id.first()
    paths = catalogue(config).to_pandas().set_index("product_id").category_path
    leaf = pd.Index(category_paths(config.leaves)).get_indexer(paths[first])
    return pd.Series(leaf, first.index.str[1:].astype(int))


def test_of_categories_given_a_probability_as_many_are_looked_at(shop):
    config, events, seen = shop
    came = after(config, events, 45)
    chance = next_category(Categories.of(config), seen, 45).probability[came.index]
    hit = np.zeros_like(chance, dtype=bool)
    hit[np.arange(len(came)), came] = True
    for group in np.array_split(np.argsort(chance, axis=None), 8):
        p = chance.ravel()[group]
        assert abs(hit.ravel()[group].sum() - p.sum()) < 4 * (p * (1 - p)).sum() ** 0.5


def test_it_lies_between_popularity_and_taste(shop):
    config, events, seen = shop
    came = after(config, events, 45)
    sold = Categories.of(config)
    exact = next_category(sold, seen, 45).probability
    nothing = next_category(sold, seen, -1).probability
    hidden = np.concatenate([next_categories(config, b, 46) for b in range(config.blocks)])
    losses = [-np.log(p[came.index, came]).mean() for p in (hidden, exact, nothing)]
    assert losses[0] < losses[1] < losses[2] - 0.1


def test_days_after_the_anchor_are_not_looked_at(shop):
    config, _, seen = shop
    cut = seen.where(seen.day <= 20).of(0, 100)
    sold = Categories.of(config)
    whole, part = (next_category(sold, s, 20).probability for s in (seen.of(0, 100), cut))
    np.testing.assert_array_equal(whole, part)
