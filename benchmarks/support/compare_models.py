"""Fit every model on the same rows, with the product's own code, and compare their metrics."""

import argparse
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from benchmarks.support.arguments import arguments_of
from benchmarks.support.default_encoder import ENCODER
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
METRICS = ("auc", "average_precision", "log_loss", "calibration_error")
BARE = "without titles and pictures"
Predictions = dict[str, np.ndarray]
"""Model → probabilities, shape (n,)."""


def options(description: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options of all benchmarks of quality."""
    parser = arguments_of(description)
    parser.add_argument("--encoder", default=ENCODER, help="none: baselines only")
    parser.add_argument("--size", default="nano")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--bare", action="store_true", help=f"also models {BARE}")
    return parser


def source(*parts: Rows) -> training.RowSource:
    """Return rows in memory as a source that training reads."""

    def read(_epoch: int, skipped: int) -> Iterator[Rows]:
        yield from parts[skipped:]

    return read


class Models:
    """The models of the main horizon, fitted on the splits `train` and `calibrate`."""

    def __init__(
        self,
        sources: fit_models.Sources,
        vocabulary: Vocabulary,
        options: argparse.Namespace,
        **trees: object,
    ) -> None:
        """Fit as the step `train` does, and print how long each part took."""
        start = time.monotonic()
        summary, samples = fit_models.summarize(sources)
        self.base_rate = summary.first_purchase[: MAIN + 1].sum() / summary.first_purchase.sum()
        start = _print_seconds(f"{summary.rows['train']:,} training rows read", start)
        self.baselines = fit_models.fit_baselines(samples, options.seed, **trees)
        del samples
        start = _print_seconds("baselines", start)
        self.fitted = None
        if options.encoder != "none":
            self.fitted = self._fit_network(sources, vocabulary, options, summary)
            share = self.fitted.blend.share
            _print_seconds(f"network, with a share of {share:.2f} in the blend", start)

    def _fit_network(
        self,
        sources: fit_models.Sources,
        vocabulary: Vocabulary,
        options: argparse.Namespace,
        summary: DatasetSummary,
    ) -> fit_models.Fitted:
        size, sizes = size_of(options.size, options.encoder), vocabulary_sizes(vocabulary)
        architecture = network.Architecture(options.encoder, size, sizes)
        plan = training.Plan(summary.rows["train"], options.seed)
        return fit_models.fit_network(
            architecture, self.baselines, sources, plan, log=lambda line: print("#", line)
        )

    def predict(self, rows: Rows) -> Predictions:
        """Return the predictions of every model."""
        features = rows.encoded.features
        predictions = {"base rate": np.full(len(features), self.base_rate)}
        predictions |= {
            NAMES[name]: p for name, p in self.baselines.probabilities(features).items()
        }
        if self.fitted:
            logits = training.predict_logits(self.fitted.network, rows.encoded)
            predictions["network"] = hazards.probabilities(logits)[:, MAIN]
            predictions["blend"] = self.fitted.blend.probabilities(logits, features)[:, MAIN]
        return predictions


def print_metrics(
    title: str,
    predictions: Predictions,
    outcomes: np.ndarray,
    customers: np.ndarray,
    limit: str | None = None,
) -> None:
    """Print metrics and paired differences, with their intervals over customers."""
    codes = np.unique(customers, return_inverse=True)[1]
    weights = metrics.resample_weights(int(codes.max()) + 1, 1)
    losses = {name: metrics.log_losses(p, outcomes) for name, p in predictions.items()}
    mean = {name: float(values.mean()) for name, values in losses.items()}
    print(f"\n**{title}**: {len(outcomes):,} predictions, {outcomes.mean():.1%} purchase\n")
    gain = "| share of the possible gain " if limit else ""
    print(f"| model | {' | '.join(n.replace('_', ' ') for n in METRICS)} "
          f"| log loss lower than LightGBM's {gain}|")  # fmt: skip
    print("|---" * (len(METRICS) + 2 + bool(limit)) + "|")
    for name, predicted in predictions.items():
        row = metrics.metrics(predicted, outcomes, 0.5, weights, codes)
        cells = [_cell(row[metric]) for metric in METRICS]
        better = metrics.paired_difference(losses[name], losses["LightGBM"], weights, codes)
        cells.append("" if name == "LightGBM" else _cell(better, 5))
        if limit:
            possible = mean["base rate"] - mean[limit]
            cells.append(f"{(mean['base rate'] - mean[name]) / possible:.1%}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


class Tested(NamedTuple):
    """Predictions and outcomes of the test rows of one cut of time.

    Args:
        predictions: of each model.
        outcomes: whether the customer purchased, shape (n,).
        customers: shape (n,).
    """

    predictions: Predictions
    outcomes: np.ndarray
    customers: np.ndarray


def print_cuts(title: str, cuts: Sequence[Tested]) -> None:
    """Print a table of the last cut of time, one of all together, and the blend's differences.

    Models are fitted for each cut; no two cuts share test days.
    """
    predictions, outcomes, customers = zip(*cuts, strict=True)
    whole = Tested(concatenate(predictions), np.concatenate(outcomes), np.concatenate(customers))
    print_metrics(title, *cuts[-1])
    print_metrics(f"{title}, {len(cuts)} cuts of time together", *whole)
    if "blend" not in whole.predictions:
        return
    print("\nBlend lower than LightGBM, by cut of time:\n")
    print(f"| task | {' | '.join(f'cut {n}' for n in range(1, len(cuts) + 1))} | together |")
    print("|---" * (len(cuts) + 2) + "|")
    differences = (
        _log_loss_difference(each.predictions["blend"], each.predictions["LightGBM"], *each[1:])
        for each in (*cuts, whole)
    )
    print(f"| {title} | {' | '.join(_cell(each, 5) for each in differences)} |", flush=True)


def _log_loss_difference(
    better: np.ndarray, worse: np.ndarray, outcomes: np.ndarray, customers: np.ndarray
) -> metrics.Estimate:
    """Return by how much the log loss of `better` is lower, resampled over customers."""
    codes = np.unique(customers, return_inverse=True)[1]
    weights = metrics.resample_weights(int(codes.max()) + 1, 1)
    both = (metrics.log_losses(each, outcomes) for each in (better, worse))
    return metrics.paired_difference(*both, weights, codes)


def compare_bare(
    predictions: Predictions, bare: Predictions, outcomes: np.ndarray, customers: np.ndarray
) -> Predictions:
    """Add predictions without content; print by how much content lowers the log losses."""
    for name in ("network", "blend"):
        lower = _log_loss_difference(predictions[name], bare[name], outcomes, customers)
        print(f"\nTitles and pictures: log loss of {name} lower by {_cell(lower, 5)}", flush=True)
    return predictions | {f"{name} {BARE}": bare[name] for name in ("network", "blend")}


def print_reliability(name: str, predicted: np.ndarray, outcomes: np.ndarray) -> None:
    """Print a reliability plot in text: the share that purchases, by tenths of the predictions."""
    print(f"\nReliability of {name}, by tenths of the predictions:\n")
    print("| predicted | purchased | |\n|---|---|---|")
    for rows in np.array_split(np.argsort(predicted, kind="stable"), 10):
        purchased = outcomes[rows].mean()
        print(f"| {predicted[rows].mean():.4f} | {purchased:.4f} | {'▇' * round(60 * purchased)} |")


def print_cohorts(
    predictions: Predictions,
    outcomes: np.ndarray,
    customers: np.ndarray,
    cohorts: dict[str, np.ndarray],
) -> None:
    """Print the log loss of each model in each cohort with at least 30 purchases."""
    names = [name for name in predictions if name != "base rate"]
    print(f"\n| cohort | predictions | {' | '.join(names)} | network below LightGBM |")
    print("|---" * (len(names) + 3) + "|")
    for kind, values in cohorts.items():
        for value in np.unique(values):
            chosen = values == value
            if outcomes[chosen].sum() < 30:
                continue
            codes = np.unique(customers[chosen], return_inverse=True)[1]
            weights = metrics.resample_weights(int(codes.max()) + 1, 1)
            losses = {
                n: metrics.log_losses(predictions[n][chosen], outcomes[chosen]) for n in predictions
            }
            cells = [f"{losses[n].mean():.4f}" for n in names]
            last = ""
            if "network" in predictions:
                both = losses["network"], losses["LightGBM"]
                last = _cell(metrics.paired_difference(*both, weights, codes), 5)
            count = f"{chosen.sum():,}"
            print(f"| {kind} {value} | {count} | {' | '.join(cells)} | {last} |", flush=True)


def concatenate(parts: Sequence[Predictions]) -> Predictions:
    """Return the arrays of several parts as one, by name."""
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _cell(estimate: metrics.Estimate, digits: int = 4) -> str:
    value, low, high = (f"{number:.{digits}f}" for number in estimate)
    return f"{value} [{low}, {high}]"


def _print_seconds(part: str, start: float) -> float:
    """Print the seconds since `start`; return the time now."""
    now = time.monotonic()
    print(f"# {part}: {now - start:.0f} s", flush=True)
    return now
