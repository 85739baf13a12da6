"""Fit all models of a window on the same rows.

The step `train`, the search in `tune` and the benchmarks use this code. Baselines and ensemble come
first: the network starts from the ensemble and learns from the trees. They are fitted on a sample
of bounded size.
"""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from intent_tasks.core.arrays import Float32Array, Float64Array, FloatArray, Int32Array, Int64Array
from intent_tasks.core.dataset import SPLITS, DatasetSummary, Rows
from intent_tasks.core.features import FEATURES
from intent_tasks.models import (
    baselines,
    blend,
    calibration,
    distribution,
    ensemble,
    hazards,
    network,
    stage_model,
    training,
)
from intent_tasks.models.baselines import LabeledFeatures, LogisticModel, Trees
from intent_tasks.models.ensemble import FeatureRows
from intent_tasks.models.hazards import MAIN_INDEX
from intent_tasks.models.network import Architecture, Network

Sources = Mapping[str, training.RowSource]
"""Split → its rows, bucket by bucket."""

MAX_ROWS = {"train": baselines.MAX_ROWS, "calibrate": baselines.MAX_ROWS // 4}
"""Split → maximum number of rows for the baselines."""


@dataclass
class RowSample:
    """An even sample of a stream of rows: every `stride`-th row.

    The stride doubles when the sample exceeds `max_rows`, so at least half as many rows are left.
    """

    max_rows: int
    row_count: int = 0
    stride: int = 1
    customer_count: int = 0
    parts: list[FeatureRows] = field(default_factory=list)

    def add(self, rows: Rows) -> None:
        """Sample from more rows, of customers that were not added before."""
        chosen = slice(-self.row_count % self.stride, None, self.stride)
        encoded = rows.encoded
        owner = encoded.customers[chosen].astype(np.int64) + self.customer_count
        self.parts.append(FeatureRows(encoded.features[chosen], rows.first_purchase[chosen], owner))
        self.row_count += len(rows.first_purchase)
        self.customer_count += len(encoded.events.keys)
        while sum(len(each.first_purchase) for each in self.parts) > self.max_rows:
            self.parts = [self.rows().every(2)]
            self.stride *= 2

    def rows(self) -> FeatureRows:
        """Return the sample."""
        empty = FeatureRows(
            np.zeros((0, len(FEATURES)), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int64)
        )
        return FeatureRows.joined(self.parts or [empty])


def at_main_horizon(rows: FeatureRows) -> LabeledFeatures:
    """Return rows with their label at the main horizon."""
    return LabeledFeatures(rows.features, rows.first_purchase <= MAIN_INDEX)


class Samples:
    """Samples of the splits on which the baselines are fitted."""

    def __init__(self) -> None:
        """Start with empty samples."""
        self.by_split = {split: RowSample(most) for split, most in MAX_ROWS.items()}

    def add(self, split: str, rows: Rows) -> None:
        """Sample from rows of a split."""
        if split in self.by_split:
            self.by_split[split].add(rows)


def summarize(sources: Sources) -> tuple[DatasetSummary, Samples]:
    """Read all rows once, count them and sample them."""
    summary, samples = DatasetSummary(), Samples()
    for split in SPLITS:
        for rows in sources[split](0, 0):
            summary.add(split, rows)
            samples.add(split, rows)
    return summary, samples


@dataclass(frozen=True)
class Baselines:
    """The fitted baselines, and the ensemble from which the network starts.

    Args:
        recency_frequency: logistic regression on recency and frequency, at the main horizon.
        logistic: logistic regression on all features, at the main horizon.
        lightgbm: boosted trees at the main horizon; also the teacher of the network.
        ensemble: weights of the trained ensemble.
    """

    recency_frequency: LogisticModel
    logistic: LogisticModel
    lightgbm: Trees
    ensemble: ensemble.EnsembleWeights

    def probabilities(self, features: FloatArray) -> dict[str, FloatArray]:
        """Return the probabilities of each baseline, (n,), from features, (n, features)."""
        return {
            "recency_frequency": self.recency_frequency(baselines.recency_frequency(features)),
            "logistic": self.logistic(features),
            "lightgbm": self.lightgbm(features),
        }


def fit_baselines(samples: Samples, seed: int, exactly: bool = True, **trees: object) -> Baselines:
    """Fit the baselines and the ensemble, side by side: both compute outside of Python's lock.

    Args:
        samples: of the splits `train` and `calibrate`.
        seed: seed of trees and ensemble.
        exactly: reproduce the same bytes; see `network.deterministic`.
        trees: changes of `baselines.LIGHTGBM_PARAMETERS`.

    Raises:
        Refused: the loss of the ensemble is not finite.
    """
    rows, validation = (samples.by_split[split].rows() for split in MAX_ROWS)
    train = at_main_horizon(rows)
    selected = LabeledFeatures(baselines.recency_frequency(train.features), train.outcomes)
    network.deterministic(seed, exactly)
    distribution.strategy()  # TensorFlow needs the strategy before the ensemble computes
    with ThreadPoolExecutor(1) as executor:
        linear = [executor.submit(baselines.logistic, each) for each in (selected, train)]
        boosted = executor.submit(
            baselines.boosted_trees, train, at_main_horizon(validation), seed, **trees
        )
        weights = ensemble.fit(rows, validation, seed)
    return Baselines(linear[0].result(), linear[1].result(), boosted.result(), weights)


class ValidationPredictions(NamedTuple):
    """Predictions for n rows of the calibration split.

    Args:
        logits: calibrated logits of the hazards, shape (n, horizons).
        trees: probabilities of the trees at the main horizon, shape (n,).
        first_purchase: horizon of the first purchase, shape (n,).
        customers: customer of each row, numbered from 0, shape (n,).
    """

    logits: Float32Array
    trees: FloatArray
    first_purchase: Int32Array
    customers: Int64Array

    def probabilities(self, blended: blend.Blend | None) -> Float64Array:
        """Return the blended probabilities; None: those of the network. Shape (n, horizons)."""
        network = hazards.probabilities(self.logits)
        if blended is None:
            return network
        target = blend.blend_log_odds(blended.share, network[:, MAIN_INDEX], self.trees)
        return hazards.probabilities(blend.shift_to(self.logits, target))


@dataclass(frozen=True)
class Fitted:
    """A calibrated network.

    Args:
        network: with its weights.
        curve: metrics of each validation.
        validation: predictions for the calibration split.
        blend: blend with the trees, fitted on the calibration split.
    """

    network: Network
    curve: list[dict[str, float]]
    validation: ValidationPredictions
    blend: blend.Blend


def fit_network(
    architecture: Architecture,
    fitted: Baselines,
    sources: Sources,
    plan: training.Plan,
    *,
    folder: Path | None = None,
    log: Callable[[str], None] = lambda _: None,
    on_validation: Callable[[dict[str, float]], None] = lambda _: None,
    initialize: Callable[[Network], object] = lambda _: None,
) -> Fitted:
    """Train a network from the ensemble and the trees, calibrate it and fit the blend.

    Args:
        architecture: architecture of the network.
        fitted: baselines fitted on the same rows.
        sources: rows of the splits `train` and `calibrate`.
        plan: length of training, and the seed.
        folder: folder of the checkpoint; None: no checkpoint.
        log: receives a line after each validation.
        on_validation: receives the metrics of each validation; may stop training by an exception.
        initialize: changes the new network before training, for example to pretrained weights.

    Raises:
        Refused: the loss is not finite.
    """
    network.deterministic(plan.seed, plan.exactly)
    with distribution.strategy().scope():
        built = network.build(architecture)
        built.start_from_ensemble(fitted.ensemble)
        initialize(built)
        train, validation = sources["train"], sources["calibrate"]
        curve = training.fit(
            built, train, validation, plan, folder, log, on_validation, fitted.lightgbm
        )
    predicted = _shrink_event_logits(built, fitted.lightgbm, validation)
    customers = len(np.unique(predicted.customers))
    calibration.fit(built, predicted.logits, predicted.first_purchase, customers)
    stage_model.fit(built, train)
    predicted = predicted._replace(logits=np.asarray(built.calibration(predicted.logits)))
    main = hazards.probabilities(predicted.logits)[:, MAIN_INDEX]
    purchased = predicted.first_purchase <= MAIN_INDEX
    share = blend.fit(main, predicted.trees, purchased, predicted.customers)
    return Fitted(built, curve, predicted, blend.Blend(share, fitted.lightgbm))


def _shrink_event_logits(
    built: Network, trees: Trees, source: training.RowSource
) -> ValidationPredictions:
    """Scale the events' part of the logits to the share with the safest gain, and predict."""
    predicted, base_logits = _validation_predictions(built, trees, source)
    base, full = (hazards.probabilities(z)[:, MAIN_INDEX] for z in (base_logits, predicted.logits))
    purchased = predicted.first_purchase <= MAIN_INDEX
    share = blend.safest_share(base, full, purchased, predicted.customers)
    built.scale_event_logits(share)
    logits = base_logits + np.float32(share) * (predicted.logits - base_logits)
    return predicted._replace(logits=logits)


def _validation_predictions(
    built: Network, trees: Trees, source: training.RowSource
) -> tuple[ValidationPredictions, Float32Array]:
    """Return predictions and the logits of the ensemble alone, both before calibration."""
    parts, base_logits, customers = [], [], 0
    for rows in source(0, 0):  # no two buckets share a customer
        encoded = rows.encoded
        base_logits.append(built.ensemble_logits(encoded.features))
        predicted = training.predict_logits(built, encoded), trees(encoded.features)
        owner = encoded.customers.astype(np.int64) + customers
        parts.append((*predicted, rows.first_purchase, owner))
        customers += len(encoded.events.keys)
    joined = (np.concatenate(values) for values in zip(*parts, strict=True))
    return ValidationPredictions(*joined), np.concatenate(base_logits)
