"""What any network has to beat: logistic regression and boosted trees on hand-made features."""

import numpy as np
import numpy.typing as npt
from lightgbm import LGBMClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Floats = npt.NDArray[np.floating]


def logistic(features: Floats, outcomes: npt.NDArray[np.bool_], asked: Floats) -> Floats:
    """Return the probabilities of a logistic regression, shape (len(asked),)."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    return _predict(model, features, outcomes, asked)


def boosted_trees(
    features: Floats, outcomes: npt.NDArray[np.bool_], asked: Floats, seed: int
) -> Floats:
    """Return the probabilities of LightGBM, shape (len(asked),)."""
    model = LGBMClassifier(
        n_estimators=150,
        learning_rate=0.05,
        num_leaves=15,
        min_child_samples=50,
        subsample=0.8,
        subsample_freq=1,
        colsample_bytree=0.8,
        random_state=seed,
        deterministic=True,
        force_row_wise=True,
        n_jobs=2,
        verbose=-1,
    )
    return _predict(model, features, outcomes, asked)


def _predict(
    model: object, features: Floats, outcomes: npt.NDArray[np.bool_], asked: Floats
) -> Floats:
    if outcomes.all() or not outcomes.any():
        return np.full(len(asked), float(outcomes.mean()))
    model.fit(features, outcomes)  # type: ignore[attr-defined]
    predicted: Floats = model.predict_proba(asked)[:, 1]  # type: ignore[attr-defined]
    return predicted
