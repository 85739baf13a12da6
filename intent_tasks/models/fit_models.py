"""Fit every model of a window on the same rows.

The step `train`, the search of `tune` and what is measured in `benchmarks/` all go this one way.
Baselines and panel first, because the network learns from the trees and begins with the panel.
What is held in memory for them is a sample whose size does not grow with the shop.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from intent_tasks.core.dataset import PARTS, Rows, Survey
from intent_tasks.core.features import FEATURES
from intent_tasks.models import (
    baselines,
    blend,
    calibration,
    distribution,
    ensemble,
    hazards,
    network,
    stage,
    training,
)
from intent_tasks.models.baselines import Floats, Labelled, Line, Trees
from intent_tasks.models.ensemble import Told
from intent_tasks.models.network import Architecture, Network

Sources = Mapping[str, training.Source]
"""Part → its rows, bit by bit."""

MOST_ROWS = {"train": baselines.MOST_ROWS, "calibrate": baselines.MOST_ROWS // 4}
"""Rows of each part that the baselines are given at most."""


@dataclass
class Sample:
    """Rows picked evenly from however many pass by: between half of `most` and `most` of them."""

    most: int
    seen: int = 0
    stride: int = 1
    customers: int = 0
    kept: list[Told] = field(default_factory=list)

    def add(self, rows: Rows) -> None:
        """Look at more rows, of other customers than those before."""
        chosen = slice(-self.seen % self.stride, None, self.stride)
        encoded = rows.encoded
        owner = encoded.customers[chosen].astype(np.int64) + self.customers
        self.kept.append(Told(encoded.features[chosen], rows.first[chosen], owner))
        self.seen += len(rows.first)
        self.customers += len(encoded.events.keys)
        while sum(len(each.first) for each in self.kept) > self.most:
            self.kept = [self.told().every(2)]
            self.stride *= 2

    def told(self) -> Told:
        """Return what was picked."""
        nothing = Told(
            np.zeros((0, len(FEATURES)), np.float32), np.zeros(0, np.int32), np.zeros(0, np.int64)
        )
        return Told.joined(self.kept or [nothing])


def labelled(told: Told) -> Labelled:
    """Return rows with the label at the main horizon."""
    return Labelled(told.features, told.first <= blend.MAIN)


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
    """What the network has to beat and learns from (`lightgbm`), and what it begins with (`panel`).

    Args:
        recency_frequency, logistic, lightgbm: models of the main horizon.
        panel: what the panel has learned.
    """

    recency_frequency: Line
    logistic: Line
    lightgbm: Trees
    panel: ensemble.Learned

    def of(self, features: Floats) -> dict[str, Floats]:
        """Return the probabilities of each, shape (n,), from features, shape (n, features)."""
        return {
            "recency_frequency": self.recency_frequency(baselines.recency_frequency(features)),
            "logistic": self.logistic(features),
            "lightgbm": self.lightgbm(features),
        }


def fit_baselines(samples: Samples, seed: int, exactly: bool = True, **trees: object) -> Baselines:
    """Return the baselines, and the panel.

    Args:
        samples: of the parts `train` and `calibrate`.
        seed: of trees and panel.
        exactly: twice the same bytes; see `network.deterministic`.
        trees: changes of `baselines.TREES`.

    Raises:
        Refused: the loss of the panel is no number any more.
    """
    told, later = (samples.of[part].told() for part in MOST_ROWS)
    train = labelled(told)
    few = Labelled(baselines.recency_frequency(train.features), train.outcomes)
    network.deterministic(seed, exactly)
    distribution.strategy()  # the panel computes, and other workers must be known before
    return Baselines(
        baselines.logistic(few),
        baselines.logistic(train),
        baselines.boosted_trees(train, labelled(later), seed, **trees),
        ensemble.fit(told, later, seed),
    )


@dataclass(frozen=True)
class Fitted:
    """A calibrated network.

    Args:
        network: with its weights.
        curve: what each look at the later slice saw.
        later: the rows of that slice.
        blend: with the trees, by the share that is likeliest there.
    """

    network: Network
    curve: list[dict[str, float]]
    later: "Later"
    blend: blend.Blend


class Later(NamedTuple):
    """What is said of n rows of the slice that calibrates.

    Args:
        logits: of the hazards, calibrated, shape (n, horizons).
        trees: probabilities of the trees at the main horizon, shape (n,).
        first: horizon of the first purchase, shape (n,).
        customers: whose row it is, numbers from 0 on, shape (n,).
    """

    logits: npt.NDArray[np.float32]
    trees: Floats
    first: npt.NDArray[np.int32]
    customers: npt.NDArray[np.int64]

    def probabilities(self, mix: blend.Blend | None) -> npt.NDArray[np.float64]:
        """Return what is said of them, mixed or by the network alone, shape (n, horizons)."""
        alone = hazards.probabilities(self.logits)
        if mix is None:
            return alone
        wanted = blend.mixed(mix.share, alone[:, blend.MAIN], self.trees)
        return hazards.probabilities(blend.moved(self.logits, wanted))


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
    """Return a network that began with the panel, learned from the trees and is calibrated.

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
        built.begin_with(known.panel)
        give(built)
        train, later = sources["train"], sources["calibrate"]
        curve = training.fit(built, train, later, plan, folder, say, look, known.lightgbm)
    seen = _tempered(built, known, later)
    calibration.fit(built, seen.logits, seen.first, len(np.unique(seen.customers)))
    stage.fit(built, train)
    seen = seen._replace(logits=np.asarray(built.calibration(seen.logits)))
    said, bought = hazards.probabilities(seen.logits)[:, blend.MAIN], seen.first <= blend.MAIN
    share = blend.fit(said, seen.trees, bought, seen.customers)
    return Fitted(built, curve, seen, blend.Blend(share, known.lightgbm))


def _tempered(built: Network, known: Baselines, source: training.Source) -> Later:
    """Take back of what events say what is not surely a gain; return what is then said later."""
    whole, without = _later(built, known, source)
    alone, with_events = (hazards.probabilities(z)[:, blend.MAIN] for z in (without, whole.logits))
    bought = whole.first <= blend.MAIN
    share = blend.surest(alone, with_events, bought, whole.customers)
    built.take_of_events(share)
    return whole._replace(logits=without + np.float32(share) * (whole.logits - without))


def _later(
    built: Network, known: Baselines, source: training.Source
) -> tuple[Later, npt.NDArray[np.float32]]:
    """Return what is said of a slice, and the logits of the panel alone, before calibration."""
    parts, without, customers = [], [], 0
    for rows in source(0, 0):  # of other customers each
        encoded = rows.encoded
        without.append(built.panel(encoded.statics))
        said = training.logits_of(built, encoded), known.lightgbm(encoded.features)
        parts.append((*said, rows.first, encoded.customers.astype(np.int64) + customers))
        customers += len(encoded.events.keys)
    whole = Later(*(np.concatenate(values) for values in zip(*parts, strict=True)))
    return whole, np.concatenate(without)
