"""Where the possible gain on the simulated shop sits: the limit without one signal at a time.

Gain: how much log loss falls below the base rate's, 7 days ahead. Losses are expected under the
exact probabilities instead of counted on what came true, so chance in outcomes plays no part. Exact
rows are the best that any model can do without the signal. Estimated rows are of LightGBM that
learns the exact probabilities themselves from what is left, of other customers: the best is at
least so good, and its row on all days apart tells how much it falls short by itself. One row learns
from what came true instead, as models must. The second table is of the category of the next
session: what taste is worth. Measured, not claimed.
Command: `python -m benchmarks.signals` (five minutes)
"""

from collections.abc import Callable, Iterator
from dataclasses import replace

import lightgbm
import numpy as np
import pandas as pd
import pyarrow as pa

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
TEACHING = Config(customers=16_000, seed=12)
ANCHORS, POPULATION_DAYS = range(47, 114, 11), 30

SIGNALS = {
    "text": (("search_brand", "search"),),
    "looks at the same product again": (("view_again", "view"),),
    "clicks and searches": (("click", "view"), ("search", "view"), ("search_brand", "view")),
    "carts": (("cart", "view"),),
}
"""Kinds of events that look the same once a signal is taken away."""

SINCE: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "the anchor day (events a day late)": lambda days, anchor: days <= anchor - 1,
    "the last 3 days": lambda days, anchor: days <= anchor - 3,
    "the last 7 days": lambda days, anchor: days <= anchor - 7,
    "all but the last 30 days": lambda days, anchor: days > anchor - 30,
    "all but the last 7 days": lambda days, anchor: days > anchor - 7,
}
"""Days that are still known once others are taken away."""

WINDOWS = (1, 2, 3, 5, 8, 14, 30, 120)
VIEWS = {
    "order of days: counts in windows": WINDOWS,
    "timing: days blurred to weeks": (7, 14, 21, 28, 35, 42, 120),
    "nothing, by the same learner": (*range(1, 15), 21, 30, 60, 120),
}
"""Days up to which counts are told, for what can be estimated only."""


def without(signal: str, config: Config, seen: Observed) -> tuple[Config, Observed]:
    """Return the shop as it looks when kinds of events can no longer be told apart."""
    rates, kinds = np.array(config.counts), seen.kinds.copy()
    for lost, into in SIGNALS[signal]:
        a, b = KINDS.index(lost), KINDS.index(into)
        rates[:, b], rates[:, a] = rates[:, b] + rates[:, a], 0
        kinds[..., b], kinds[..., a] = kinds[..., b] + kinds[..., a], 0
    counts = tuple(tuple(map(float, row)) for row in rates)
    return replace(config, counts=counts), replace(seen, kinds=kinds)


def drawn(config: Config) -> Observed:
    """Return what can be seen of a shop, without making its events."""
    blocks = [Observed.of(block_of_days(config, number)[0]) for number in range(config.blocks)]
    return Observed(
        np.concatenate([b.joined for b in blocks]),
        np.concatenate([b.sessions for b in blocks], axis=1),
        np.concatenate([b.kinds for b in blocks], axis=1),
    )


def population(seen: Observed, anchor: int) -> np.ndarray:
    """Return who did something of late."""
    recent = seen.sessions[max(anchor + 1 - POPULATION_DAYS, 0) : anchor + 1]
    return np.flatnonzero(recent.any(0))


def limit(
    config: Config, seen: Observed, known: Callable[[np.ndarray, int], np.ndarray] | None = None
) -> np.ndarray:
    """Return the exact probabilities of all anchors, one after the other."""
    parts = []
    for anchor in ANCHORS:
        days = known(np.arange(anchor + 1), anchor) if known else None
        chance = probabilities(config, seen, anchor, [MAIN_HORIZON_DAYS], days)[:, 0]
        parts.append(chance[population(seen, anchor)])
    return np.concatenate(parts)


def came(seen: Observed) -> np.ndarray:
    """Return who purchased within the horizon after each anchor, one after the other."""
    parts = []
    for anchor in ANCHORS:
        ahead = seen.kinds[anchor + 1 : anchor + 1 + MAIN_HORIZON_DAYS, :, PURCHASE]
        parts.append(ahead.any(0)[population(seen, anchor)])
    return np.concatenate(parts).astype(float)


def counted(seen: Observed, windows: tuple[int, ...]) -> np.ndarray:
    """Return numbers of sessions and of each kind in spans of days that end at the anchor."""
    rows = []
    for anchor in ANCHORS:
        who = population(seen, anchor)
        told = np.concatenate([seen.sessions[..., None], seen.kinds], axis=-1)[:, who]
        sums = [told[max(anchor + 1 - w, 0) : anchor + 1].sum(0) for w in windows]
        rows.append(np.concatenate([*sums, (anchor - seen.joined[who])[:, None]], axis=1))
    return np.concatenate(rows).astype(np.float32)


def taught(
    windows: tuple[int, ...], teacher: Observed, lesson: np.ndarray, seen: Observed
) -> np.ndarray:
    """Return what LightGBM says of `seen` when it has learned exact probabilities of others."""
    settings = {"objective": "cross_entropy", "learning_rate": 0.05, "num_leaves": 63}
    settings |= {"feature_fraction": 0.5, "num_threads": 2, "verbose": -1, "seed": 7}
    rows = lightgbm.Dataset(counted(teacher, windows), lesson)
    return np.asarray(lightgbm.train(settings, rows, 300).predict(counted(seen, windows)))


def predicted() -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield what is taken away, whether the rest is exact, and the probabilities without it."""
    seen, teacher = drawn(SHOP), drawn(TEACHING)
    yield "nothing", "exact", limit(SHOP, seen)
    for signal in SIGNALS:
        yield signal, "exact", limit(*without(signal, SHOP, seen))
    for days, known in SINCE.items():
        yield days, "exact", limit(SHOP, seen, known)
    lesson = limit(TEACHING, teacher)
    for name, windows in VIEWS.items():
        yield name, "at least", taught(windows, teacher, lesson, seen)
    learned = taught(WINDOWS, teacher, came(teacher), seen)
    yield "order of days, and learned from outcomes", "at least", learned


def when() -> None:
    """Print the table about purchases."""
    truth = base = best = None
    for name, how, chance in predicted():
        if truth is None:
            truth = chance
            print(f"{len(truth):,} predictions, {truth.sum():,.0f} purchases expected\n")
            print("| taken away | log loss | share of the gain left | |\n|---|---|---|---|")
            base = expected_loss(truth, np.full(len(truth), truth.mean()))
            best = expected_loss(truth, truth)
        loss = expected_loss(truth, chance)
        print(f"| {name} | {loss:.4f} | {(base - loss) / (base - best):.1%} | {how} |", flush=True)


def expected_loss(truth: np.ndarray, said: np.ndarray) -> float:
    """Return the log loss to expect of what is said, from the true probabilities."""
    return float(-(truth * np.log(said) + (1 - truth) * np.log1p(-said)).mean())


def what(anchor: int = 90) -> None:
    """Print the table about the category of the next session."""
    config = replace(SHOP, customers=4000)
    events = pa.concat_tables(simulate(config))
    seen = look(config, events, customers(config), catalogue(config))
    hidden = np.concatenate([next_categories(config, b, anchor) for b in range(config.blocks)])
    who = np.flatnonzero(np.bincount(seen.customer[seen.day <= anchor], minlength=len(hidden)))
    said = {
        "popularity": np.tile(stock(config).weight, (len(hidden), 1)),
        "own looks, smoothed": own_looks(config, seen, anchor, len(hidden)),
        "limit, given what is seen": next_category(Categories.of(config), seen, anchor).probability,
        "taste itself, which nobody sees": hidden,
    }
    loss = {n: -(hidden * np.log(p[: len(hidden)])).sum(1)[who].mean() for n, p in said.items()}
    base, best = loss["popularity"], loss["limit, given what is seen"]
    print("\n| next category by | log loss | share of the possible gain |\n|---|---|---|")
    for name, value in loss.items():
        print(f"| {name} | {value:.3f} | {(base - value) / (base - best):.0%} |")


def own_looks(config: Config, seen: Looks, anchor: int, customers: int) -> np.ndarray:
    """Return shares of categories in a customer's sessions, with popularity as 8 more sessions."""
    past = seen.where(seen.day <= anchor)
    entries = pd.DataFrame({"session": past.session, "views": past.views})
    share = past.views / entries.groupby("session").views.transform("sum").to_numpy()
    counts = np.zeros((customers, config.leaves))
    np.add.at(counts, (past.customer, past.leaf), share)
    counts += 8 * stock(config).weight
    return np.asarray(counts / counts.sum(1, keepdims=True))


def main() -> None:
    """Print both tables."""
    when()
    what()


if __name__ == "__main__":
    main()
