"""Every model on the public table of shopping sessions, which has no events.

Ten stratified folds (shuffled, seed 42, no resampling), with and without `PageValues`, which is
partly computed from the purchase. Then February to October for training, and November and December
for test, without `Month`. There is no sequence to read: the network is its ensemble, and the blend
mixes it with the trees. The table has the means over folds, and by how much the log loss is lower
than that of LightGBM, with the 95 % interval of a bootstrap over sessions.

Command: `python -m benchmarks.quality_shoppers PATH/online_shoppers_intention.csv`
"""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from benchmarks.support.arguments import arguments_of
from intent_tasks.core import metrics
from intent_tasks.core.anchors import NEVER
from intent_tasks.models import baselines, blend, ensemble, hazards, network
from intent_tasks.models.layers import QuantileRanks

LATE = ("Nov", "Dec")
TREES = {"min_data_in_leaf": 30, "num_leaves": 15, "learning_rate": 0.03, "feature_fraction": 0.5}
SEED = 7
Predictions = dict[str, np.ndarray]


def features(lines: pd.DataFrame) -> np.ndarray:
    """Return all columns as numbers on a signed log scale, categories one-hot encoded."""
    x = pd.get_dummies(lines).to_numpy(np.float32)
    return np.sign(x) * np.log1p(np.abs(x))


def predict(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> Predictions:
    """Return the predictions of each model; a tenth of the training rows is for validation."""
    held_out = np.random.default_rng(SEED).random(len(train)) < 0.1
    rows, validation = train[~held_out], train[held_out]
    whole = baselines.LabeledFeatures(x[train], y[train])
    trees = baselines.boosted_trees(
        *(baselines.LabeledFeatures(x[t], y[t]) for t in (rows, validation)), SEED, **TREES
    )
    weights = ensemble.fit(*(_feature_rows(x[t], y[t]) for t in (rows, validation)), SEED)
    share = blend.fit(
        _predict_ensemble(weights, x[validation]),
        trees(x[validation]),
        y[validation],
        np.arange(len(validation)),
    )
    predictions = {
        "base rate": np.full(len(test), y[train].mean()),
        "logistic": baselines.logistic(whole)(x[test]),
        "LightGBM": trees(x[test]),
        "network": _predict_ensemble(weights, x[test]),
    }
    blended = blend.blend_log_odds(share, predictions["network"], predictions["LightGBM"])
    return predictions | {"blend": blended}


def _feature_rows(x: np.ndarray, y: np.ndarray) -> ensemble.FeatureRows:
    return ensemble.FeatureRows(x, np.where(y, 0, NEVER).astype(np.int32), np.arange(len(y)))


def _predict_ensemble(fitted: ensemble.EnsembleWeights, x: np.ndarray) -> np.ndarray:
    """Return the probabilities of a fitted ensemble."""
    ranks, members = QuantileRanks(), ensemble.Ensemble()
    for layer, weights in ((ranks, fitted.ranks), (members, fitted.members)):
        layer.build(x.shape)
        layer.set_weights(weights)
    return hazards.probabilities(np.asarray(members(ranks(x))))[:, blend.MAIN_INDEX]


def print_rows(title: str, folds: list[tuple[np.ndarray, Predictions]]) -> None:
    """Print mean and standard deviation over folds, and the gain over all sessions."""
    y = np.concatenate([outcomes for outcomes, _ in folds])
    weights, rows = metrics.resample_weights(len(y), 1), np.arange(len(y))
    losses = {
        name: metrics.log_losses(np.concatenate([predictions[name] for _, predictions in folds]), y)
        for name in folds[0][1]
    }
    for name, each in losses.items():
        auc = [roc_auc_score(y, predictions[name]) for y, predictions in folds]
        ap = [average_precision_score(y, predictions[name]) for y, predictions in folds]
        spread = f" ± {np.std(auc):.3f}" if len(folds) > 1 else ""
        better = metrics.paired_difference(each, losses["LightGBM"], weights, rows)
        print(
            f"| {title} | {name} | {np.mean(auc):.3f}{spread} | {np.mean(ap):.3f} | "
            f"{each.mean():.4f} | {better.value:.4f} [{better.low:.4f}, {better.high:.4f}] |",
            flush=True,
        )


def main() -> None:
    """Print the table."""
    parser = arguments_of(__doc__)
    parser.add_argument("path", type=Path)
    lines = pd.read_csv(parser.parse_args().path)
    y = lines.pop("Revenue").to_numpy(bool)
    late = lines["Month"].isin(LATE).to_numpy()
    network.deterministic(SEED)
    print("| task | model | AUC | average precision | log loss | lower than LightGBM's |")
    print("|---" * 6 + "|")
    for removed, named in (([], "with PageValues"), (["PageValues"], "without PageValues")):
        x = features(lines.drop(columns=removed))
        parts = StratifiedKFold(10, shuffle=True, random_state=42).split(x, y)
        folds = [(y[test], predict(x, y, train, test)) for train, test in parts]
        print_rows(f"ten folds, {named}", folds)
        x = features(lines.drop(columns=[*removed, "Month"]))
        train, test = np.flatnonzero(~late), np.flatnonzero(late)
        print_rows(f"November and December, {named}", [(y[test], predict(x, y, train, test))])


if __name__ == "__main__":
    main()
