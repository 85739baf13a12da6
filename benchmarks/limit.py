"""How near models come to the limit on the simulated shop; `signals` tells where the rest sits.

Share of the possible gain: (log loss of base rate - of model) / (of base rate - of limit). Horizon
7 days, population as predicted, trained on earlier anchors with a gap of the longest horizon.
Claim: none beats the limit. The rest is measured, not claimed.
Command: `python -m benchmarks.limit` (one minute). After `make demo`, `python -m benchmarks.limit
--demo` does the same for the model that the demo trained, from the scores in INTENT_HOME.
"""

import sys
from collections.abc import Iterator, Sequence
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score

from benchmarks.shops import goods
from intent_tasks.core.encoding import encode
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.identity import customer_keys
from intent_tasks.core.vocabulary import learn_vocabulary
from intent_tasks.definition import MAIN_HORIZON_DAYS, Definition
from intent_tasks.models import baselines
from intent_tasks.settings import load_settings
from intent_tasks.simulator import Config, customers, simulate
from intent_tasks.simulator.bayes_optimal import probabilities
from intent_tasks.simulator.observed import Observed, observe
from intent_tasks.simulator.process import PURCHASE
from intent_tasks.stores import score_files

SHOP = Config(customers=12_000, seed=11)
"""Larger than the demo's and of another seed."""

TRAIN, LATER, TEST = range(45, 66, 4), range(80, 82), range(95, 113, 6)
DEMO_TRAIN, DEMO_LATER = range(45, 76, 4), range(92, 97)
"""Days of anchors to learn from, and to stop learning by; those of the demo end before its scores.
"""


class Shop:
    """The simulated shop as the pipeline and as the limit see it."""

    def __init__(self, config: Config) -> None:
        """Make the events and count them."""
        self.config = config
        events = pa.concat_tables(simulate(config))
        self.people = customers(config)
        self.seen = observe(config, events, self.people)
        named = events.join(goods(config), "product_id")
        named = named.rename_columns({"customer_id": "customer_key"})
        order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
        table = named.sort_by(order)
        self.history = event_arrays(table, learn_vocabulary([table]), "UTC")
        ids = self.people["customer_id"].to_pylist()
        place = {name: number for number, name in enumerate(ids)}
        self.place = np.array([place[key] for key in self.history.keys])

    def anchor(self, day: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return customers, their features, and whether they purchased."""
        date = self.config.first_day + timedelta(days=day)
        encoded = encode(self.history, Definition(), date)
        who = self.place[encoded.customers]
        return who, encoded.features, bought(self.seen, day)[who]


def bought(seen: Observed, day: int) -> np.ndarray:
    """Return who purchases within the main horizon after a day, shape (customers,)."""
    ahead = seen.kinds[day + 1 : day + 1 + MAIN_HORIZON_DAYS, :, PURCHASE]
    return np.asarray((ahead > 0).any(0))


def limit(config: Config, seen: Observed, day: int, who: np.ndarray) -> np.ndarray:
    """Return the exact probability of those customers."""
    return probabilities(config, seen, day, [MAIN_HORIZON_DAYS])[who, 0]


def labelled(shop: Shop, days: Sequence[int]) -> baselines.LabeledFeatures:
    """Return the rows of some anchors, to learn from."""
    _, features, outcomes = zip(*(shop.anchor(day) for day in days), strict=True)
    return baselines.LabeledFeatures(np.concatenate(features), np.concatenate(outcomes))


def compared() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return what came true and what each predictor said about the test anchors."""
    shop = Shop(SHOP)
    test = [shop.anchor(day) for day in TEST]
    train, later = (labelled(shop, days) for days in (TRAIN, LATER))
    _, asked, truth = (np.concatenate(parts) for parts in zip(*test, strict=True))
    said = {
        "base rate": np.full(len(truth), train.outcomes.mean()),
        "logistic regression": baselines.logistic(train)(asked),
        "LightGBM": baselines.boosted_trees(train, later, 7)(asked),
    }
    parts = [limit(SHOP, shop.seen, day, row[0]) for day, row in zip(TEST, test, strict=True)]
    return truth, {**said, "limit": np.concatenate(parts)}


def of_the_demo() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the same for the scores of the demo, on the days whose outcomes lie in the shop.

    LightGBM learns from anchors whose outcomes are known before the first of those days.
    """
    shop, parts = Shop(Config()), []
    train, later = (labelled(shop, days) for days in (DEMO_TRAIN, DEMO_LATER))
    trees = baselines.boosted_trees(train, later, 7)
    for day, names, chance in champion_scores(shop.config):
        who = customers_called(names, shop.people)
        known, features, outcome = shop.anchor(day)
        rows = np.searchsorted(known, who, sorter=np.argsort(known))
        rows = np.argsort(known)[np.minimum(rows, len(known) - 1)]
        same = known[rows] == who  # all but who did something at midnight
        said = trees(features[rows]), chance, limit(shop.config, shop.seen, day, who)
        parts.append([values[same] for values in (outcome[rows], *said)])
    if not parts:
        sys.exit("No scores in INTENT_HOME whose outcomes are known; run `make demo` first.")
    truth, *said = (np.concatenate(values) for values in zip(*parts, strict=True))
    names = ("base rate", "LightGBM", "model of the demo", "limit")
    return truth, dict(zip(names, (np.full(len(truth), train.outcomes.mean()), *said), strict=True))


def champion_scores(config: Config) -> Iterator[tuple[int, list[str], np.ndarray]]:
    """Yield day, customer keys and probabilities of each file of scores that can be judged."""
    home = load_settings().home
    for date, bucket in score_files.written(home):
        day = (date - config.first_day).days
        if day + MAIN_HORIZON_DAYS < config.days:
            scores = score_files.read(home, date, bucket)
            scores = scores.filter(pc.equal(scores["role"], "champion"))
            chance = scores[f"probability_{MAIN_HORIZON_DAYS}d"].to_numpy()
            yield day, scores["customer_key"].to_pylist(), chance


def customers_called(names: list[str], people: pa.Table) -> np.ndarray:
    """Return the numbers of the customers of those keys."""
    key = load_settings().identity_key.get_secret_value().encode()
    keys = customer_keys(people["customer_id"].to_pylist(), key)
    place = {name: number for number, name in enumerate(keys)}
    if not place.keys() >= set(names):
        sys.exit("INTENT_HOME has scores of another shop than the default simulated one.")
    return np.array([place[name] for name in names])


def main() -> None:
    """Print the table; fail when something beats the limit by more than chance."""
    truth, said = of_the_demo() if "--demo" in sys.argv else compared()
    loss = {name: log_loss(truth, chance) for name, chance in said.items()}
    print(f"{len(truth):,} predictions, {truth.sum():,} purchase within {MAIN_HORIZON_DAYS} days\n")
    print("| | log loss | AUC | average precision | share of the possible gain |")
    print("|---|---|---|---|---|")
    for name, chance in said.items():
        share = (loss["base rate"] - loss[name]) / (loss["base rate"] - loss["limit"])
        ranks = f"{roc_auc_score(truth, chance):.3f} | {average_precision_score(truth, chance):.3f}"
        print(f"| {name} | {loss[name]:.4f} | {ranks} | {share:.0%} |")
    sys.exit(loss["limit"] > min(loss.values()) + 0.002)


if __name__ == "__main__":
    main()
