"""Search for the settings of a network that say most of the later slice, within a time budget."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import optuna

from intent_tasks.core.dataset import Survey
from intent_tasks.core.vocabulary import Vocabulary, vocabulary_sizes
from intent_tasks.models import fit_models, network, training
from intent_tasks.models.encoders import ENCODERS
from intent_tasks.models.sizes import Size


@dataclass(frozen=True)
class Search:
    """What every trial shares.

    Args:
        size: of the networks; their width is searched around its width.
        vocabulary: of the training slice.
        sources: of the parts `train` and `calibrate`, which judges.
        survey: of these parts.
        known: the baselines that every trial begins with and learns from.
        seed: of the search and of every trial.
    """

    size: Size
    vocabulary: Vocabulary
    sources: fit_models.Sources
    survey: Survey
    known: fit_models.Baselines
    seed: int


def search(
    found: Search, budget_seconds: float, say: Callable[[str], None], most_trials: int | None = None
) -> dict[str, Any]:
    """Return the best settings, with the least loss on later days and how many were tried.

    The first trial is always finished: it takes the settings as they are. A trial that is worse
    than the half of those before at the same step is ended there.

    Args:
        found: what every trial shares.
        budget_seconds: no trial begins after that.
        say: told a line after each trial.
        most_trials: end after so many, whatever is left of the budget.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=found.seed),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=3),
    )
    study.enqueue_trial(
        {
            "encoder": "gru",
            "width": found.size.width,
            "learning_rate": training.LEARNING_RATE,
            "weight_decay": training.WEIGHT_DECAY,
        }
    )
    begun = time.monotonic()

    def told(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        said = "ended early" if trial.value is None else f"loss {trial.value:.4f}"
        say(f"trial {trial.number + 1}: {said} with {trial.params}; best {study.best_value:.4f}")
        if time.monotonic() - begun > budget_seconds:
            study.stop()

    study.optimize(
        lambda trial: _loss(trial, found), n_trials=most_trials, timeout=budget_seconds,
        callbacks=[told],
    )  # fmt: skip
    return study.best_params | {"later_loss": study.best_value, "trials": len(study.trials)}


def _loss(trial: optuna.Trial, found: Search) -> float:
    """Return the least loss on later days of one trial."""
    width = trial.suggest_categorical(
        "width", sorted({max(8, found.size.width // 2), found.size.width, 2 * found.size.width})
    )
    encoder = trial.suggest_categorical("encoder", list(ENCODERS))
    plan = training.Plan(
        found.survey.rows["train"],
        found.seed,
        learning_rate=trial.suggest_float("learning_rate", 3e-4, 1e-2, log=True),
        weight_decay=trial.suggest_float("weight_decay", 1e-4, 1e-1, log=True),
    )
    size = replace(found.size, width=width)
    sizes = vocabulary_sizes(found.vocabulary)
    architecture = network.Architecture(encoder, size, sizes)

    def looked(seen: dict[str, float]) -> None:
        trial.report(seen["later_loss"], int(seen["step"]))
        if trial.should_prune():
            raise optuna.TrialPruned

    fitted = fit_models.fit_network(architecture, found.known, found.sources, plan, look=looked)
    return min(seen["later_loss"] for seen in fitted.curve)
