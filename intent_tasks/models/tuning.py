"""Search for hyperparameters with the lowest validation loss, within a time budget."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import optuna

from intent_tasks.core.dataset import DatasetSummary
from intent_tasks.core.vocabulary import Vocabulary, vocabulary_sizes
from intent_tasks.models import fit_models, network, training
from intent_tasks.models.encoders import ENCODERS
from intent_tasks.models.sizes import Size


@dataclass(frozen=True)
class Search:
    """What all trials share.

    Args:
        encoder: of the first trial; the search tries all encoders.
        size: of the networks; the search varies the width around its width.
        vocabulary: of the training split.
        sources: of the splits `train` and `calibrate`; the latter validates.
        summary: row counts of these splits.
        baselines: the fitted baselines that every trial starts from.
        seed: seed of the search and of every trial.
    """

    encoder: str
    size: Size
    vocabulary: Vocabulary
    sources: fit_models.Sources
    summary: DatasetSummary
    baselines: fit_models.Baselines
    seed: int


def search(
    shared: Search, budget_seconds: float, log: Callable[[str], None], max_trials: int | None = None
) -> dict[str, Any]:
    """Return the best hyperparameters, their validation loss and the number of trials.

    The first trial has the settings and the default hyperparameters, and is always finished. A
    later trial stops when it is worse than the median of the earlier ones at the same step.

    Args:
        shared: what all trials share.
        budget_seconds: no trial starts after this time.
        log: receives a line after each trial.
        max_trials: maximum number of trials.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=shared.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    study.enqueue_trial(
        {
            "encoder": shared.encoder,
            "width": shared.size.width,
            "learning_rate": training.LEARNING_RATE,
            "weight_decay": training.WEIGHT_DECAY,
        }
    )
    started = time.monotonic()

    def on_trial(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        result = "stopped early" if trial.value is None else f"loss {trial.value:.4f}"
        log(f"trial {trial.number + 1}: {result} with {trial.params}; best {study.best_value:.4f}")
        if time.monotonic() - started > budget_seconds:
            study.stop()

    study.optimize(
        lambda trial: _loss(trial, shared), n_trials=max_trials, timeout=budget_seconds,
        callbacks=[on_trial],
    )  # fmt: skip
    return study.best_params | {"validation_loss": study.best_value, "trials": len(study.trials)}


def _loss(trial: optuna.Trial, shared: Search) -> float:
    """Return the lowest validation loss of one trial."""
    width = trial.suggest_categorical(
        "width", sorted({max(8, shared.size.width // 2), shared.size.width, 2 * shared.size.width})
    )
    encoder = trial.suggest_categorical("encoder", list(ENCODERS))
    plan = training.Plan(
        shared.summary.rows["train"],
        shared.seed,
        learning_rate=trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
    )
    size = replace(shared.size, width=width)
    sizes = vocabulary_sizes(shared.vocabulary)
    architecture = network.Architecture(encoder, size, sizes)

    def on_validation(metrics: dict[str, float]) -> None:
        trial.report(metrics["validation_loss"], int(metrics["step"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    fitted = fit_models.fit_network(
        architecture, shared.baselines, shared.sources, plan, on_validation=on_validation
    )
    return min(metrics["validation_loss"] for metrics in fitted.curve)
