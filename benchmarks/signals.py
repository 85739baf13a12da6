"""Measure the part of each signal in the best possible prediction on the simulated shop.

Gain: the log loss of the base rate minus that of the model, for 7 days. Losses are expectations
under the exact probabilities, so that random outcomes play no part. *Exact* rows are the best
possible prediction without the signal. *At least* rows are of LightGBM, trained on the exact
probabilities of other customers from the remaining signals: the best is at least as good, and the
row with all days shows by how much LightGBM falls short. One row is trained on outcomes instead, as
models are. The second table is about the category of the next session, and so about taste.
Measured, not claimed.
Command: `python -m benchmarks.signals` (five minutes)
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.support.arguments import arguments_of
from intent_tasks.definition import MAIN_HORIZON_DAYS
from intent_tasks.simulator import Config, catalogue, customers, next_categories, simulate
from intent_tasks.simulator.bayes_optimal import probabilities
from intent_tasks.simulator.catalogue import stock
from intent_tasks.simulator.looks import Looks, look
from intent_tasks.simulator.observed import Observed
from intent_tasks.simulator.process import KINDS, PURCHASE
from intent_tasks.simulator.shop import block_of_days
from intent_tasks.simulator.taste import Categories, next_category

SHOP = Config(customers=6_000, seed=11)
TRAINING = Config(customers=16_000, seed=12)
ANCHORS, POPULATION_DAYS = range(47, 114, 11), 30

SIGNALS = {
    "text": (("search_brand", "search"),),
    "looks at the same product again": (("view_again", "view"),),
    "clicks and searches": (("click", "view"), ("search", "view"), ("search_brand", "view")),
    "carts": (("cart", "view"),),
}
"""Kinds of events that are counted as one kind when a signal is removed."""

SINCE: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "the anchor day (events a day late)": lambda days, anchor: days <= anchor - 1,
    "the last 3 days": lambda days, anchor: days <= anchor - 3,
    "the last 7 days": lambda days, anchor: days <= anchor - 7,
    "all but the last 30 days": lambda days, anchor: days > anchor - 30,
    "all but the last 7 days": lambda days, anchor: days > anchor - 7,
}
"""Days that are still known when others are removed."""

WINDOWS = (1, 2, 3, 5, 8, 14, 30, 120)
VIEWS = {
    "order of days: counts in windows": WINDOWS,
    "timing: days blurred to weeks": (7, 14, 21, 28, 35, 42, 120),
    "nothing, by the same learner": (*range(1, 15), 21, 30, 60, 120),
}
"""Windows of days of the counts, for what can only be estimated."""


def without(signal: str, config: Config, observed: Observed) -> tuple[Config, Observed]:
    """Return the shop with kinds of events counted as others."""
    rates, kinds = np.array(config.counts), observed.kinds.copy()
    for removed, into in SIGNALS[signal]:
        a, b = KINDS.index(removed), KINDS.index(into)
        rates[:, b], rates[:, a] = rates[:, b] + rates[:, a], 0
        kinds[..., b], kinds[..., a] = kinds[..., b] + kinds[..., a], 0
    counts = tuple(tuple(map(float, row)) for row in rates)
    return replace(config, counts=counts), replace(observed, kinds=kinds)


def simulate_observed(config: Config) -> Observed:
    """Return the observations of a shop without generating its events."""
    blocks = [Observed.of(block_of_days(config, number)[0]) for number in range(config.blocks)]
    return Observed(
        np.concatenate([b.joined for b in blocks]),
        np.concatenate([b.sessions for b in blocks], axis=1),
        np.concatenate([b.kinds for b in blocks], axis=1),
    )


def population(observed: Observed, anchor: int) -> np.ndarray:
    """Return the customers with an event in the last days."""
    recent = observed.sessions[max(anchor + 1 - POPULATION_DAYS, 0) : anchor + 1]
    return np.flatnonzero(recent.any(0))


def limit(
    config: Config, observed: Observed, known: Callable[[np.ndarray, int], np.ndarray] | None = None
) -> np.ndarray:
    """Return the exact probabilities of all anchors, concatenated."""
    parts = []
    for anchor in ANCHORS:
        days = known(np.arange(anchor + 1), anchor) if known else None
        exact = probabilities(config, observed, anchor, [MAIN_HORIZON_DAYS], days)[:, 0]
        parts.append(exact[population(observed, anchor)])
    return np.concatenate(parts)


def outcomes_of(observed: Observed) -> np.ndarray:
    """Return 1.0 for each customer who purchases within the horizon, for all anchors."""
    parts = []
    for anchor in ANCHORS:
        future = observed.kinds[anchor + 1 : anchor + 1 + MAIN_HORIZON_DAYS, :, PURCHASE]
        parts.append(future.any(0)[population(observed, anchor)])
    return np.concatenate(parts).astype(float)


def count_features(observed: Observed, windows: tuple[int, ...]) -> np.ndarray:
    """Return counts of sessions and of events by kind, in windows that end at the anchor."""
    rows = []
    for anchor in ANCHORS:
        population_count = population(observed, anchor)
        counts = np.concatenate([observed.sessions[..., None], observed.kinds], axis=-1)[
            :, population_count
        ]
        sums = [counts[max(anchor + 1 - w, 0) : anchor + 1].sum(0) for w in windows]
        rows.append(
            np.concatenate([*sums, (anchor - observed.joined[population_count])[:, None]], axis=1)
        )
    return np.concatenate(rows).astype(np.float32)


def predict_with_trees(
    windows: tuple[int, ...], training: Observed, targets: np.ndarray, observed: Observed
) -> np.ndarray:
    """Train LightGBM on targets of other customers; return its predictions of `observed`."""
    settings = {"objective": "cross_entropy", "learning_rate": 0.05, "num_leaves": 63}
    settings |= {"feature_fraction": 0.5, "num_threads": 2, "verbose": -1, "seed": 7}
    rows = lightgbm.Dataset(count_features(training, windows), targets)
    return np.asarray(
        lightgbm.train(settings, rows, 300).predict(count_features(observed, windows))
    )


def predict_without_signals() -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield the removed signal, whether the rest is exact, and the probabilities without it."""
    observed, training = simulate_observed(SHOP), simulate_observed(TRAINING)
    yield "nothing", "exact", limit(SHOP, observed)
    for signal in SIGNALS:
        yield signal, "exact", limit(*without(signal, SHOP, observed))
    for days, known in SINCE.items():
        yield days, "exact", limit(SHOP, observed, known)
    targets = limit(TRAINING, training)
    for name, windows in VIEWS.items():
        yield name, "at least", predict_with_trees(windows, training, targets, observed)
    from_outcomes = predict_with_trees(WINDOWS, training, outcomes_of(training), observed)
    yield "order of days, trained on outcomes", "at least", from_outcomes


def print_purchases() -> None:
    """Print the table about purchases."""
    truth = base = best = None
    for name, method, predicted in predict_without_signals():
        if truth is None:
            truth = predicted
            print(f"{len(truth):,} predictions, {truth.sum():,.0f} purchases expected\n")
            print("| removed | log loss | share of the gain left | |\n|---|---|---|---|")
            base = expected_loss(truth, np.full(len(truth), truth.mean()))
            best = expected_loss(truth, truth)
        loss = expected_loss(truth, predicted)
        print(
            f"| {name} | {loss:.4f} | {(base - loss) / (base - best):.1%} | {method} |", flush=True
        )


def expected_loss(truth: np.ndarray, predicted: np.ndarray) -> float:
    """Return the expected log loss of predictions under the true probabilities."""
    return float(-(truth * np.log(predicted) + (1 - truth) * np.log1p(-predicted)).mean())


def print_categories(anchor: int = 90) -> None:
    """Print the table about the category of the next session."""
    config = replace(SHOP, customers=4000)
    events = pa.concat_tables(simulate(config))
    observed = look(config, events, customers(config), catalogue(config))
    hidden = np.concatenate([next_categories(config, b, anchor) for b in range(config.blocks)])
    known = np.flatnonzero(
        np.bincount(observed.customer[observed.day <= anchor], minlength=len(hidden))
    )
    predictions = {
        "popularity": np.tile(stock(config).weight, (len(hidden), 1)),
        "own looks, smoothed": own_looks(config, observed, anchor, len(hidden)),
        "limit, given the events": next_category(
            Categories.of(config), observed, anchor
        ).probability,
        "taste itself, which is hidden": hidden,
    }
    loss = {
        n: -(hidden * np.log(p[: len(hidden)])).sum(1)[known].mean() for n, p in predictions.items()
    }
    base, best = loss["popularity"], loss["limit, given the events"]
    print("\n| next category by | log loss | share of the possible gain |\n|---|---|---|")
    for name, value in loss.items():
        print(f"| {name} | {value:.3f} | {(base - value) / (base - best):.0%} |")


def own_looks(config: Config, observed: Looks, anchor: int, customers: int) -> np.ndarray:
    """Return shares of categories in a customer's sessions, with popularity as 8 more sessions."""
    history = observed.where(observed.day <= anchor)
    entries = pd.DataFrame({"session": history.session, "views": history.views})
    share = history.views / entries.groupby("session").views.transform("sum").to_numpy()
    counts = np.zeros((customers, config.leaves))
    np.add.at(counts, (history.customer, history.leaf), share)
    counts += 8 * stock(config).weight
    return np.asarray(counts / counts.sum(1, keepdims=True))


def main() -> None:
    """Print both tables."""
    arguments_of(__doc__).parse_args()
    print_purchases()
    print_categories()


if __name__ == "__main__":
    main()
