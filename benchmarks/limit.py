"""Models compared with the best possible prediction (the limit) on the simulated shop.

Share of the possible gain: (log loss of base rate - of model) / (of base rate - of limit). Horizon
7 days, the predicted population, trained on earlier anchors with a gap of the longest horizon.
`benchmarks.signals` measures what each signal contributes.
Claim: no model beats the limit. The rest is measured, not claimed.
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

from benchmarks.support.arguments import arguments_of
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
from tools.testbed.shops import product_columns

SHOP = Config(customers=12_000, seed=11)
"""Larger than the demo's and of another seed."""

TRAIN, VALIDATION, TEST = range(45, 66, 4), range(80, 82), range(95, 113, 6)
DEMO_TRAIN, DEMO_VALIDATION = range(45, 76, 4), range(92, 97)
"""Anchor days for training and for validation; those of the demo end before its scores."""


class Shop:
    """The simulated shop, as events of the pipeline and as observations of the limit."""

    def __init__(self, config: Config) -> None:
        """Simulate the events and observe them."""
        self.config = config
        events = pa.concat_tables(simulate(config))
        self.people = customers(config)
        self.observed = observe(config, events, self.people)
        table = events.join(product_columns(config), "product_id")
        table = table.rename_columns({"customer_id": "customer_key"})
        order = [(name, "ascending") for name in ("customer_key", "occurred_at", "event_id")]
        table = table.sort_by(order)
        self.arrays = event_arrays(table, learn_vocabulary([table]), "UTC")
        ids = self.people["customer_id"].to_pylist()
        number_of = {name: number for number, name in enumerate(ids)}
        self.numbers = np.array([number_of[key] for key in self.arrays.keys])

    def anchor(self, day: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return customers, their features, and whether they purchased."""
        date = self.config.first_day + timedelta(days=day)
        encoded = encode(self.arrays, Definition(), date)
        customers = self.numbers[encoded.customers]
        return customers, encoded.features, purchased(self.observed, day)[customers]


def purchased(observed: Observed, day: int) -> np.ndarray:
    """Return who purchases within the main horizon after a day, shape (customers,)."""
    after = observed.kinds[day + 1 : day + 1 + MAIN_HORIZON_DAYS, :, PURCHASE]
    return np.asarray((after > 0).any(0))


def limit(config: Config, observed: Observed, day: int, customers: np.ndarray) -> np.ndarray:
    """Return the exact probabilities of these customers."""
    return probabilities(config, observed, day, [MAIN_HORIZON_DAYS])[customers, 0]


def labeled_features(shop: Shop, days: Sequence[int]) -> baselines.LabeledFeatures:
    """Return the features and outcomes of some anchors."""
    _, features, outcomes = zip(*(shop.anchor(day) for day in days), strict=True)
    return baselines.LabeledFeatures(np.concatenate(features), np.concatenate(outcomes))


def predict_test_days() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the outcomes of the test anchors, and the predictions of each model."""
    shop = Shop(SHOP)
    test = [shop.anchor(day) for day in TEST]
    train, validation = (labeled_features(shop, days) for days in (TRAIN, VALIDATION))
    _, features, outcomes = (np.concatenate(parts) for parts in zip(*test, strict=True))
    predictions = {
        "base rate": np.full(len(outcomes), train.outcomes.mean()),
        "logistic regression": baselines.logistic(train)(features),
        "LightGBM": baselines.boosted_trees(train, validation, 7)(features),
    }
    parts = [limit(SHOP, shop.observed, day, row[0]) for day, row in zip(TEST, test, strict=True)]
    return outcomes, {**predictions, "limit": np.concatenate(parts)}


def read_demo_scores() -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the same for the scores of the demo, on the days whose outcomes are in the shop.

    LightGBM is trained on anchors whose outcomes are known before the first of these days.
    """
    shop, parts = Shop(Config()), []
    train, validation = (labeled_features(shop, days) for days in (DEMO_TRAIN, DEMO_VALIDATION))
    trees = baselines.boosted_trees(train, validation, 7)
    for day, keys, predicted in champion_scores(shop.config):
        scored = customers_with_keys(keys, shop.people)
        customers_of_day, features, outcomes = shop.anchor(day)
        order = np.argsort(customers_of_day)
        rows = np.searchsorted(customers_of_day, scored, sorter=order)
        rows = order[np.minimum(rows, len(order) - 1)]
        same = customers_of_day[rows] == scored  # not those with an event at midnight
        exact = limit(shop.config, shop.observed, day, scored)
        columns = outcomes[rows], trees(features[rows]), predicted, exact
        parts.append([values[same] for values in columns])
    if not parts:
        sys.exit("No scores in INTENT_HOME whose outcomes are known; run `make demo` first.")
    outcomes, *predictions = (np.concatenate(values) for values in zip(*parts, strict=True))
    names = ("base rate", "LightGBM", "model of the demo", "limit")
    base_rate = np.full(len(outcomes), train.outcomes.mean())
    return outcomes, dict(zip(names, (base_rate, *predictions), strict=True))


def champion_scores(config: Config) -> Iterator[tuple[int, list[str], np.ndarray]]:
    """Yield day, customer keys and probabilities of each file of scores with known outcomes."""
    home = load_settings().home
    for date, bucket in score_files.list_written(home):
        day = (date - config.first_day).days
        if day + MAIN_HORIZON_DAYS < config.days:
            scores = score_files.read(home, date, bucket)
            scores = scores.filter(pc.equal(scores["role"], "champion"))
            predicted = scores[f"probability_{MAIN_HORIZON_DAYS}d"].to_numpy()
            yield day, scores["customer_key"].to_pylist(), predicted


def customers_with_keys(keys: list[str], people: pa.Table) -> np.ndarray:
    """Return the numbers of the customers with these keys."""
    key = load_settings().identity_key.get_secret_value().encode()
    all_keys = customer_keys(people["customer_id"].to_pylist(), key)
    number_of = {name: number for number, name in enumerate(all_keys)}
    if not number_of.keys() >= set(keys):
        sys.exit("INTENT_HOME has scores of another shop than the default simulated one.")
    return np.array([number_of[name] for name in keys])


def main() -> None:
    """Print the table; fail when something beats the limit by more than chance."""
    parser = arguments_of(__doc__)
    parser.add_argument("--demo", action="store_true", help="the scores of the demo")
    demo = parser.parse_args().demo
    outcomes, predictions = read_demo_scores() if demo else predict_test_days()
    loss = {name: log_loss(outcomes, each) for name, each in predictions.items()}
    purchases = f"{outcomes.sum():,} purchase within {MAIN_HORIZON_DAYS} days"
    print(f"{len(outcomes):,} predictions, {purchases}\n")
    print("| | log loss | AUC | average precision | share of the possible gain |")
    print("|---|---|---|---|---|")
    for name, each in predictions.items():
        share = (loss["base rate"] - loss[name]) / (loss["base rate"] - loss["limit"])
        ranking = (
            f"{roc_auc_score(outcomes, each):.3f} | {average_precision_score(outcomes, each):.3f}"
        )
        print(f"| {name} | {loss[name]:.4f} | {ranking} | {share:.0%} |")
    sys.exit(loss["limit"] > min(loss.values()) + 0.002)


if __name__ == "__main__":
    main()
