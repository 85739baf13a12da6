"""Fit every model on the same rows, by the product's own code, and print them beside each other.

Used by the `quality_*` benchmarks; it measures nothing by itself.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from intent_tasks.core import metrics
from intent_tasks.core.dataset import DatasetSummary, Rows
from intent_tasks.core.vocabulary import Vocabulary, vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models import fit_models, hazards, network, training
from intent_tasks.models.sizes import size_of

MAIN = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)
NAMES = {
    "recency_frequency": "recency-frequency logistic",
    "logistic": "logistic, all features",
    "lightgbm": "LightGBM",
}
SHOWN = ("auc", "average_precision", "log_loss", "calibration_error")
BARE = "without titles and pictures"
Said = dict[str, np.ndarray]


def options(description: str) -> argparse.ArgumentParser:
    """Return the options that all of these benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--encoder", default="gru", help="none: baselines only")
    parser.add_argument("--size", default="nano")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bare", action="store_true", help=f"also models {BARE}")
    return parser


def source(*parts: Rows) -> training.RowSource:
    """Return rows that are all in memory as what training reads."""

    def once(_epoch: int, skipped: int) -> Iterator[Rows]:
        yield from parts[skipped:]

    return once


class Models:
    """The models of the main horizon, fitted on the parts `train` and `calibrate`."""

    def __init__(
        self,
        sources: fit_models.Sources,
        vocabulary: Vocabulary,
        options: argparse.Namespace,
        **trees: object,
    ) -> None:
        """Fit as the step `train` does; says how long each took."""
        begun = time.monotonic()
        survey, samples = fit_models.summarize(sources)
        self.base_rate = survey.first_purchase[: MAIN + 1].sum() / survey.first_purchase.sum()
        begun = _say(f"{survey.rows['train']:,} rows to learn from read", begun)
        self.known = fit_models.fit_baselines(samples, options.seed, **trees)
        del samples
        begun = _say("baselines", begun)
        self.fitted = None
        if options.encoder != "none":
            self.fitted = self._fit_network(sources, vocabulary, options, survey)
            _say(f"network, whose share in the blend is {self.fitted.blend.share:.2f}", begun)

    def _fit_network(
        self,
        sources: fit_models.Sources,
        vocabulary: Vocabulary,
        options: argparse.Namespace,
        survey: DatasetSummary,
    ) -> fit_models.Fitted:
        size, sizes = size_of(options.size, options.encoder), vocabulary_sizes(vocabulary)
        architecture = network.Architecture(options.encoder, size, sizes)
        plan = training.Plan(survey.rows["train"], options.seed)
        return fit_models.fit_network(
            architecture, self.known, sources, plan, log=lambda line: print("#", line)
        )

    def said(self, rows: Rows) -> Said:
        """Return what every model says of rows."""
        features = rows.encoded.features
        said = {"base rate": np.full(len(features), self.base_rate)}
        said |= {NAMES[name]: p for name, p in self.known.probabilities(features).items()}
        if self.fitted:
            logits = training.predict_logits(self.fitted.network, rows.encoded)
            said["network"] = hazards.probabilities(logits)[:, MAIN]
            said["blend"] = self.fitted.blend.probabilities(logits, features)[:, MAIN]
        return said


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


class Tested(NamedTuple):
    """What was said of the test rows of one cut of time, what came true, and whose rows they are.

    Args:
        said: model → probabilities, shape (n,).
        outcomes: whether it came true, shape (n,).
        customers: shape (n,).
    """

    said: Said
    outcomes: np.ndarray
    customers: np.ndarray


def show_cuts(title: str, cuts: Sequence[Tested]) -> None:
    """Print the table of the last cut of time, and of all together; then the blend's differences.

    Models are fitted again for each cut; no two are tested on the same days.
    """
    said, outcomes, customers = zip(*cuts, strict=True)
    whole = Tested(joined(said), np.concatenate(outcomes), np.concatenate(customers))
    show(title, *cuts[-1])
    show(f"{title}, {len(cuts)} cuts of time together", *whole)
    if "blend" not in whole.said:
        return
    print("\nBlend lower than LightGBM, by cut of time:\n")
    print(f"| task | {' | '.join(f'cut {n}' for n in range(1, len(cuts) + 1))} | together |")
    print("|---" * (len(cuts) + 2) + "|")
    found = (
        _lower(each.said["blend"], each.said["LightGBM"], *each[1:]) for each in (*cuts, whole)
    )
    print(f"| {title} | {' | '.join(_cell(each, 5) for each in found)} |", flush=True)


def _lower(
    better: np.ndarray, worse: np.ndarray, outcomes: np.ndarray, customers: np.ndarray
) -> metrics.Estimate:
    """Return how much lower the log loss of the first probabilities is, over customers."""
    who = np.unique(customers, return_inverse=True)[1]
    weights = metrics.resample_weights(int(who.max()) + 1, 1)
    both = (metrics.log_losses(said, outcomes) for said in (better, worse))
    return metrics.paired_difference(*both, weights, who)


def beside_bare(said: Said, bare: Said, outcomes: np.ndarray, customers: np.ndarray) -> Said:
    """Return what is said, also without content; print how much lower log losses are with it."""
    for name in ("network", "blend"):
        found = _lower(said[name], bare[name], outcomes, customers)
        print(f"\nTitles and pictures: log loss of {name} lower by {_cell(found, 5)}", flush=True)
    return said | {f"{name} {BARE}": bare[name] for name in ("network", "blend")}


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
