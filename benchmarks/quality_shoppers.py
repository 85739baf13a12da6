"""Boosted trees on the public table of shopping sessions: a small tabular path, nothing of events.

Ten stratified folds (shuffled, seed 42, nothing resampled), with and without `PageValues`, which is
partly computed from the purchase; then February to October against November and December, without
`Month`. There is no sequence to read: a network has nothing to add here, and none is fitted.

Command: `python -m benchmarks.quality_shoppers PATH/online_shoppers_intention.csv`
"""

import sys

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from intent_tasks.models import baselines

LATE = ("Nov", "Dec")
TREES = {"min_data_in_leaf": 30, "num_leaves": 15, "learning_rate": 0.03, "feature_fraction": 0.5}


def features(lines: pd.DataFrame) -> np.ndarray:
    """Return all columns as numbers: names one column each."""
    return pd.get_dummies(lines).to_numpy(np.float32)


def predicted(x: np.ndarray, y: np.ndarray, train: np.ndarray, asked: np.ndarray) -> dict:
    """Return what logistic regression and trees say; a tenth of the training rows stops these."""
    held = np.random.default_rng(7).random(len(train)) < 0.1
    rows, later = (baselines.Labelled(x[t], y[t]) for t in (train[~held], train[held]))
    whole = baselines.Labelled(x[train], y[train])
    return {
        "logistic": baselines.logistic(whole)(x[asked]),
        "LightGBM": baselines.boosted_trees(rows, later, 7, **TREES)(x[asked]),
    }


def shown(title: str, folds: list[tuple[np.ndarray, dict]]) -> None:
    """Print mean and spread over folds."""
    for name in folds[0][1]:
        auc = [roc_auc_score(y, said[name]) for y, said in folds]
        ap = [average_precision_score(y, said[name]) for y, said in folds]
        spread = f" ± {np.std(auc):.3f}" if len(folds) > 1 else ""
        print(f"| {title} | {name} | {np.mean(auc):.3f}{spread} | {np.mean(ap):.3f} |", flush=True)


def main() -> None:
    """Print the table."""
    lines = pd.read_csv(sys.argv[1])
    y = lines.pop("Revenue").to_numpy(bool)
    late = lines["Month"].isin(LATE).to_numpy()
    print("| task | model | AUC | average precision |\n|---|---|---|---|")
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
