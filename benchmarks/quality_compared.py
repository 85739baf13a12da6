"""Fit every model on the same rows, by the product's own code, and print them beside each other.

Used by the `quality_*` benchmarks; it measures nothing by itself.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from intent_tasks.core import metrics
from intent_tasks.core.slices import PARTS, Rows, Survey
from intent_tasks.core.vocabulary import Vocabulary, vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models import baselines

if TYPE_CHECKING:
    from intent_tasks.models.training import Source

SHOWN = ("auc", "average_precision", "log_loss", "calibration_error")
Said = dict[str, np.ndarray]


def options(description: str) -> argparse.ArgumentParser:
    """Return the options that all of these benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--encoder", default="gru", help="none: baselines only")
    parser.add_argument("--size", default="small")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--networks", type=int, default=1, help="seeds whose mean is taken")
    return parser


def source(rows: Rows) -> "Source":
    """Return rows that are all in memory as what training reads."""

    def once(_epoch: int, skipped: int) -> Iterator[Rows]:
        yield from [rows][skipped:]

    return once


def surveyed(sources: Mapping[str, "Source"]) -> Survey:
    """Look at all rows once."""
    survey = Survey()
    for part in PARTS:
        for rows in sources[part](0, 0):
            survey.add(part, rows)
    return survey


class Models:
    """The models of one horizon, fitted on the parts `train` and `calibrate`."""

    def __init__(
        self,
        sources: Mapping[str, "Source"],
        vocabulary: Vocabulary,
        options: argparse.Namespace,
        horizon_days: int = MAIN_HORIZON_DAYS,
        **trees: object,
    ) -> None:
        """Fit; says how long each took."""
        self.place, self.horizon = HORIZONS_DAYS.index(horizon_days), horizon_days
        train, later = (self._labelled(sources[part]) for part in ("train", "calibrate"))
        self.base_rate = float(train.outcomes.mean())
        few = baselines.recency_frequency
        begun = time.monotonic()
        rf = baselines.logistic(baselines.Labelled(few(train.features), train.outcomes))
        self.predictors = {
            "recency-frequency logistic": lambda x: rf(few(x)),
            "logistic, all features": baselines.logistic(train),
        }
        told = f"{len(train.outcomes):,} rows"
        begun = _say(f"logistic regressions on {told}", begun)
        trees_ = baselines.boosted_trees(train, later, options.seed, **trees)
        self.predictors["LightGBM"] = trees_
        begun = _say(f"LightGBM on {told}", begun)
        self.networks = []
        if options.encoder != "none":
            asked = trees_(later.features)
            self.networks = fitted(sources, vocabulary, options)
            self.mix = baselines.blend(self._network(sources["calibrate"]), asked, later.outcomes)
            _say("network", begun)

    def said(self, rows: Rows) -> Said:
        """Return what every model says of rows."""
        features = rows.encoded.features
        said = {"base rate": np.full(len(features), self.base_rate)}
        said |= {name: predict(features) for name, predict in self.predictors.items()}
        if self.networks:
            said["network"] = self._network(source(rows))
            said["blend"] = self.mix(said["network"], said["LightGBM"])
        return said

    def _network(self, rows: "Source") -> np.ndarray:
        from intent_tasks.models import network, training

        found = []
        for part in rows(0, 0):
            each = [training.logits_of(built, part.encoded) for built in self.networks]
            chances = [network.probabilities(logits)[:, self.place] for logits in each]
            found.append(np.mean(chances, axis=0))
        return np.concatenate(found)

    def _labelled(self, rows: "Source") -> baselines.Labelled:
        parts = [(r.encoded.features, r.purchased_within(self.horizon)) for r in rows(0, 0)]
        features, outcomes = zip(*_thinned(parts), strict=True)
        return baselines.Labelled(np.concatenate(features), np.concatenate(outcomes))


def _thinned(parts: list[tuple[np.ndarray, np.ndarray]]) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return every k-th row of each part, so that trees are given what they learn from at most."""
    step = max(1, -(-sum(len(y) for _, y in parts) // baselines.MOST_ROWS))
    return [(x[::step], y[::step]) for x, y in parts]


def fitted(
    sources: Mapping[str, "Source"], vocabulary: Vocabulary, options: argparse.Namespace
) -> list:
    """Return networks of several seeds, trained and calibrated as the step `train` does."""
    from intent_tasks.models import network, training
    from intent_tasks.models.sizes import size_of

    survey, networks = surveyed(sources), []
    size, sizes = size_of(options.size, options.encoder), vocabulary_sizes(vocabulary)
    for seed in range(options.seed, options.seed + options.networks):
        network.deterministic(seed)
        built = network.build(network.Architecture(options.encoder, size, sizes, *survey.moments()))
        plan = training.Plan(survey.rows["train"], seed)
        later = sources["calibrate"]
        training.fit(built, sources["train"], later, plan, say=lambda line: print("#", line))
        parts = list(later(0, 0))
        raw = np.concatenate([training.logits_of(built, rows.encoded) for rows in parts])
        training.calibrate(built, raw, np.concatenate([rows.first for rows in parts]))
        networks.append(built)
    return networks


def show(
    title: str, said: Said, outcomes: np.ndarray, customers: np.ndarray, limit: str | None = None
) -> None:
    """Print a table: metrics and paired differences with their intervals over customers."""
    who = np.unique(customers, return_inverse=True)[1]
    weights = metrics.resample_weights(int(who.max()) + 1, 1)
    losses = {name: metrics.log_losses(p, outcomes) for name, p in said.items()}
    mean = {name: float(values.mean()) for name, values in losses.items()}
    print(f"\n**{title}**: {len(outcomes):,} predictions, {outcomes.mean():.1%} come true\n")
    gain = "| share of the possible gain " if limit else ""
    print(f"| model | {' | '.join(n.replace('_', ' ') for n in SHOWN)} "
          f"| log loss lower than LightGBM's {gain}|")  # fmt: skip
    print("|---" * (len(SHOWN) + 2 + bool(limit)) + "|")
    for name, chances in said.items():
        row = metrics.metrics(chances, outcomes, 0.5, weights, who)
        cells = [_cell(row[metric]) for metric in SHOWN]
        better = metrics.paired_difference(losses[name], losses["LightGBM"], weights, who)
        cells.append("" if name == "LightGBM" else _cell(better, 5))
        if limit:
            possible = mean["base rate"] - mean[limit]
            cells.append(f"{(mean['base rate'] - mean[name]) / possible:.1%}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def reliability(name: str, chances: np.ndarray, outcomes: np.ndarray) -> None:
    """Print how often it comes true, by tenths of the scores: a reliability plot in text."""
    print(f"\nReliability of {name}, tenths of the scores:\n")
    print("| predicted | came true | |\n|---|---|---|")
    for rows in np.array_split(np.argsort(chances, kind="stable"), 10):
        true = outcomes[rows].mean()
        print(f"| {chances[rows].mean():.4f} | {true:.4f} | {'▇' * round(60 * true)} |")


def by_slice(said: Said, outcomes: np.ndarray, customers: np.ndarray, slices: Said) -> None:
    """Print the log loss of each model in each slice that is large enough to tell."""
    names = [name for name in said if name != "base rate"]
    print(f"\n| slice | predictions | {' | '.join(names)} | network below LightGBM |")
    print("|---" * (len(names) + 3) + "|")
    for what, values in slices.items():
        for value in np.unique(values):
            chosen = values == value
            if outcomes[chosen].sum() < 30:
                continue
            who = np.unique(customers[chosen], return_inverse=True)[1]
            weights = metrics.resample_weights(int(who.max()) + 1, 1)
            losses = {n: metrics.log_losses(said[n][chosen], outcomes[chosen]) for n in said}
            cells = [f"{losses[n].mean():.4f}" for n in names]
            last = ""
            if "network" in said:
                both = losses["network"], losses["LightGBM"]
                last = _cell(metrics.paired_difference(*both, weights, who), 5)
            count = f"{chosen.sum():,}"
            print(f"| {what} {value} | {count} | {' | '.join(cells)} | {last} |", flush=True)


def joined(parts: Sequence[Said]) -> Said:
    """Return several answers as one."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _cell(estimate: metrics.Estimate, digits: int = 4) -> str:
    value, low, high = (f"{number:.{digits}f}" for number in estimate)
    return f"{value} [{low}, {high}]"


def _say(what: str, begun: float) -> float:
    now = time.monotonic()
    print(f"# {what}: {now - begun:.0f} s", flush=True)
    return now
