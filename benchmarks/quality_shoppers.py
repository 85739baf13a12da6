"""Every model on the public table of shopping sessions: a small tabular path, nothing of events.

Ten stratified folds (shuffled, seed 42, nothing resampled), with and without `PageValues`, which is
partly computed from the purchase; then February to October against November and December, without
`Month`. There is no sequence to read: the network is its ensemble, and the blend mixes it with
trees.
Beside the means over folds: by how much the log loss is lower than LightGBM's, with the 95 %
interval of a bootstrap over sessions.

Command: `python -m benchmarks.quality_shoppers PATH/online_shoppers_intention.csv`
"""

import sys

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from intent_tasks.core import metrics
from intent_tasks.core.anchors import NEVER
from intent_tasks.models import baselines, blend, ensemble, hazards, network
from intent_tasks.models.layers import QuantileRanks

LATE = ("Nov", "Dec")
TREES = {"min_data_in_leaf": 30, "num_leaves": 15, "learning_rate": 0.03, "feature_fraction": 0.5}
SEED = 7
Said = dict[str, np.ndarray]


def features(lines: pd.DataFrame) -> np.ndarray:
    """Return all columns as numbers, long tails bent: names one column each."""
    x = pd.get_dummies(lines).to_numpy(np.float32)
    return np.sign(x) * np.log1p(np.abs(x))


def predicted(x: np.ndarray, y: np.ndarray, train: np.ndarray, asked: np.ndarray) -> Said:
    """Return what each model says; a tenth of the training rows stops and mixes them."""
    held = np.random.default_rng(SEED).random(len(train)) < 0.1
    rows, later = train[~held], train[held]
    whole = baselines.LabeledFeatures(x[train], y[train])
    trees = baselines.boosted_trees(
        *(baselines.LabeledFeatures(x[t], y[t]) for t in (rows, later)), SEED, **TREES
    )
    learned = ensemble.fit(*(_told(x[t], y[t]) for t in (rows, later)), SEED)
    share = blend.fit(
        _ensemble(learned, x[later]), trees(x[later]), y[later], np.arange(len(later))
    )
    said = {
        "base rate": np.full(len(asked), y[train].mean()),
        "logistic": baselines.logistic(whole)(x[asked]),
        "LightGBM": trees(x[asked]),
        "network": _ensemble(learned, x[asked]),
    }
    return said | {"blend": blend.blend_log_odds(share, said["network"], said["LightGBM"])}


def _told(x: np.ndarray, y: np.ndarray) -> ensemble.FeatureRows:
    return ensemble.FeatureRows(x, np.where(y, 0, NEVER).astype(np.int32), np.arange(len(y)))


def _ensemble(learned: ensemble.EnsembleWeights, x: np.ndarray) -> np.ndarray:
    """Return the probabilities of an ensemble."""
    ranks, members = QuantileRanks(), ensemble.Ensemble()
    for layer, weights in ((ranks, learned.ranks), (members, learned.members)):
        layer.build(x.shape)
        layer.set_weights(weights)
    return hazards.probabilities(np.asarray(members(ranks(x))))[:, blend.MAIN_INDEX]


def shown(title: str, folds: list[tuple[np.ndarray, Said]]) -> None:
    """Print mean and spread over folds, and the gain over all their sessions."""
    y = np.concatenate([outcomes for outcomes, _ in folds])
    weights, who = metrics.resample_weights(len(y), 1), np.arange(len(y))
    losses = {
        name: metrics.log_losses(np.concatenate([said[name] for _, said in folds]), y)
        for name in folds[0][1]
    }
    for name, each in losses.items():
        auc = [roc_auc_score(y, said[name]) for y, said in folds]
        ap = [average_precision_score(y, said[name]) for y, said in folds]
        spread = f" ± {np.std(auc):.3f}" if len(folds) > 1 else ""
        better = metrics.paired_difference(each, losses["LightGBM"], weights, who)
        print(
            f"| {title} | {name} | {np.mean(auc):.3f}{spread} | {np.mean(ap):.3f} | "
            f"{each.mean():.4f} | {better.value:.4f} [{better.low:.4f}, {better.high:.4f}] |",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    lines = pd.read_csv(sys.argv[1])
    y = lines.pop("Revenue").to_numpy(bool)
    late = lines["Month"].isin(LATE).to_numpy()
    network.deterministic(SEED)
    print("| task | model | AUC | average precision | log loss | lower than LightGBM's |")
    print("|---" * 6 + "|")
    for left, named in (([], "with PageValues"), (["PageValues"], "without PageValues")):
        x = features(lines.drop(columns=left))
        parts = StratifiedKFold(10, shuffle=True, random_state=42).split(x, y)
        folds = [(y[test], predicted(x, y, train, test)) for train, test in parts]
        shown(f"ten folds, {named}", folds)
        x = features(lines.drop(columns=[*left, "Month"]))
        train, test = np.flatnonzero(~late), np.flatnonzero(late)
        shown(f"November and December, {named}", [(y[test], predicted(x, y, train, test))])


if __name__ == "__main__":
    main()
