"""Fit every model of a window on the same rows.

The step `train`, the search of `tune` and what is measured in `benchmarks/` all go this one way.
Baselines first, because the network begins with what they know. What is held in memory for them is
a sample whose size does not grow with the shop.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.core.features import FEATURES
from intent_tasks.core.slices import PARTS, Rows, Survey
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models import baselines, distribution, network, stage, start, training
from intent_tasks.models.baselines import Floats, Labelled, Line, Trees
from intent_tasks.models.network import Architecture, Network
from intent_tasks.models.start import Start, Unseen

Sources = Mapping[str, training.Source]
"""Part → its rows, bit by bit."""

MOST_ROWS = {"train": baselines.MOST_ROWS, "calibrate": baselines.MOST_ROWS // 4}
"""Rows of each part that the baselines are given at most."""
SHARES = np.linspace(0, 1, 51)
"""Of what the network adds, among which one is chosen."""
SURE = 1.96
"""Standard errors between a gain and its lower bound: 95 %."""


class Sampled(NamedTuple):
    """Rows that baselines learn from.

    Args:
        features: hand-made features, shape (n, features).
        first: horizon of the first purchase, shape (n,).
        customers: a number of the customer of each row, shape (n,).
    """

    features: Floats
    first: npt.NDArray[np.int32]
    customers: npt.NDArray[np.uint32]

    @property
    def labelled(self) -> Labelled:
        """The rows with their label at the main horizon."""
        return Labelled(self.features, self.first <= HORIZONS_DAYS.index(MAIN_HORIZON_DAYS))

    def only(self, chosen: npt.NDArray[np.bool_ | np.integer]) -> "Sampled":
        """Return some of the rows."""
        return Sampled(self.features[chosen], self.first[chosen], self.customers[chosen])


@dataclass
class Sample:
    """Rows picked evenly from however many pass by: between half of `most` and `most` of them."""

    most: int
    seen: int = 0
    stride: int = 1
    parts: list[Sampled] = field(default_factory=list)

    def add(self, rows: Rows) -> None:
        """Look at more rows."""
        passing = Sampled(rows.encoded.features, rows.first, start.hashed(rows.encoded))
        count = len(rows.first)
        self.parts.append(passing.only(np.arange(-self.seen % self.stride, count, self.stride)))
        self.seen += count
        while sum(len(part.first) for part in self.parts) > self.most:
            every = self.picked()
            self.parts = [every.only(np.arange(0, len(every.first), 2))]
            self.stride *= 2

    def picked(self) -> Sampled:
        """Return what was picked."""
        if not self.parts:
            empty = np.zeros((0, len(FEATURES)), np.float32)
            return Sampled(empty, np.zeros(0, np.int32), np.zeros(0, np.uint32))
        return Sampled(
            np.concatenate([part.features for part in self.parts]),
            np.concatenate([part.first for part in self.parts]),
            np.concatenate([part.customers for part in self.parts]),
        )


class Samples:
    """A sample of each part that baselines learn from."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.of = {part: Sample(most) for part, most in MOST_ROWS.items()}

    def add(self, part: str, rows: Rows) -> None:
        """Look at rows of a part."""
        if part in self.of:
            self.of[part].add(rows)


def surveyed(sources: Sources) -> tuple[Survey, Samples]:
    """Look at all rows once."""
    survey, samples = Survey(), Samples()
    for part in PARTS:
        for rows in sources[part](0, 0):
            survey.add(part, rows)
            samples.add(part, rows)
    return survey, samples


@dataclass(frozen=True)
class Baselines:
    """What the network has to beat, and begins with.

    Args:
        recency_frequency: a logistic regression on recency and frequency.
        logistic: on all features.
        lightgbm: boosted trees.
        start: where the network begins: at the latter two.
        unseen: the same for rows that it learns from.
    """

    recency_frequency: Line
    logistic: Line
    lightgbm: Trees
    start: Start
    unseen: Unseen

    def of(self, features: Floats) -> dict[str, Floats]:
        """Return the probabilities of each, shape (n,), from features, shape (n, features)."""
        return {
            "recency_frequency": self.recency_frequency(baselines.recency_frequency(features)),
            "logistic": self.logistic(features),
            "lightgbm": self.lightgbm(features),
        }


def fit_baselines(samples: Samples, seed: int, **trees: object) -> Baselines:
    """Return the baselines.

    Args:
        samples: of the parts `train` and `calibrate`.
        seed: of the trees.
        trees: changes of `baselines.TREES`.
    """
    train, later = (samples.of[part].picked() for part in MOST_ROWS)
    few = Labelled(baselines.recency_frequency(train.features), train.labelled.outcomes)
    line = baselines.logistic(train.labelled)
    lightgbm = baselines.boosted_trees(train.labelled, later.labelled, seed, **trees)
    weights, unseen = _crossed(train, later.labelled, seed, **trees)
    begun = Start(lightgbm, line, weights)
    return Baselines(baselines.logistic(few), line, lightgbm, begun, unseen)


def _crossed(
    train: Sampled, later: Labelled, seed: int, **trees: object
) -> tuple[npt.NDArray[np.float64], Unseen]:
    """Return the weights of trees and line, and both as they are without each part."""
    log_odds, without = np.empty((len(train.first), 2)), []
    for n in range(start.FOLDS):
        left = train.customers % start.FOLDS == n
        rows = train.only(~left).labelled
        both = (
            baselines.boosted_trees(rows, later, seed + n, 1, **trees),
            baselines.logistic(rows),
        )
        log_odds[left] = start.told(*both, train.features[left])
        without.append(both)
    weights = start.weights(log_odds, train.first, train.customers)
    return weights, Unseen(tuple(Start(*both, weights) for both in without))


@dataclass(frozen=True)
class Fitted:
    """A calibrated network.

    Args:
        network: with its weights.
        start: what it adds to, calibrated with it.
        share: of what it learned, that is added.
        curve: what each look at the later slice saw.
        logits: what is said of the n rows of that slice, shape (n, horizons).
        first: horizon of their first purchase, shape (n,).
    """

    network: Network
    start: Start
    share: float
    curve: list[dict[str, float]]
    logits: npt.NDArray[np.float32]
    first: npt.NDArray[np.int32]


class Later(NamedTuple):
    """What is known of n rows of the slice that calibrates.

    Args:
        begun: logits of the hazards where the network begins, shape (n, horizons).
        added: what it adds to them, same shape.
        first: horizon of the first purchase, shape (n,).
        customers: whose row it is, numbers from 0 on, shape (n,).
    """

    begun: npt.NDArray[np.float32]
    added: npt.NDArray[np.float32]
    first: npt.NDArray[np.int32]
    customers: npt.NDArray[np.int64]


def fit_network(
    architecture: Architecture,
    known: Baselines,
    sources: Sources,
    plan: training.Plan,
    *,
    folder: Path | None = None,
    say: Callable[[str], None] = lambda _: None,
    look: Callable[[dict[str, float]], None] = lambda _: None,
    give: Callable[[Network], object] = lambda _: None,
) -> Fitted:
    """Return a network that began with trees and line, and is calibrated.

    Args:
        architecture: of the network.
        known: the baselines, fitted on the same rows.
        sources: of the parts `train` and `calibrate`.
        plan: how long it learns, and the seed.
        folder: of the checkpoint; None: there is none.
        say: told a line after each look at the later slice.
        look: told what was seen; may end training by an exception.
        give: gives the fresh network what it begins with besides.

    Raises:
        Refused: the loss is no number any more.
    """
    network.deterministic(plan.seed, plan.exactly)
    with distribution.strategy().scope():
        built = network.build(architecture)
        start.begin(built)
        give(built)
        train, later = sources["train"], sources["calibrate"]
        begins = known.unseen, lambda encoded: known.start(encoded.features)
        curve = training.fit(built, train, later, plan, folder, say, look, begins)
    seen = _later(built, known.start, later)
    share = surest(seen)
    logits = seen.begun + share * seen.added
    scale = training.calibrate(built, logits, seen.first, share)
    stage.fit(built, train)
    calibrated = scale * logits + built.calibration.shift.numpy()
    return Fitted(built, known.start.scaled(scale), share, curve, calibrated, seen.first)


def surest(seen: Later) -> float:
    """Return the share of what a network adds whose gain is surest on a later slice.

    The one with the highest lower bound of the gain, not with the highest gain: a slice of a few
    hundred rows says little, and where a network begins is what a shop of few customers can trust.
    """
    alone, bounds = _losses(seen.begun, seen.first), []
    for share in SHARES:
        gain = alone - _losses(seen.begun + share * seen.added, seen.first)
        of_customers = np.bincount(seen.customers, gain - gain.mean())  # rows of one tell one thing
        bounds.append(gain.mean() - SURE * np.sqrt((of_customers**2).sum()) / len(gain))
    return float(SHARES[int(np.argmax(bounds))])


def _losses(
    logits: npt.NDArray[np.floating], first: npt.NDArray[np.int32]
) -> npt.NDArray[np.float64]:
    return np.asarray(network.hazard_loss(first, logits.astype(np.float64)))


def _later(built: Network, begun: Start, source: training.Source) -> Later:
    parts, customers = [], 0
    for rows in source(0, 0):  # of other customers each
        encoded = rows.encoded
        said = begun(encoded.features), training.logits_of(built, encoded)
        parts.append((*said, rows.first, encoded.customers.astype(np.int64) + customers))
        customers += len(encoded.events.keys)
    return Later(*(np.concatenate(values) for values in zip(*parts, strict=True)))
