"""`tuning.search` finds settings with a lower validation loss."""

import pytest

from intent_tasks.core.dataset import SPLITS
from intent_tasks.models import (
    fit_models,
    training,
    tuning,
)
from intent_tasks.models.encoders import ENCODERS
from intent_tasks.models.sizes import Size
from tests.training.shop import SEED, rows_of, source

FIRST = next(iter(ENCODERS))
"""Encoder of the first trial."""


def search_of(trained):
    rows = rows_of(trained.events.slice(0, 300), trained.vocabulary)
    sources = dict.fromkeys(SPLITS, source(rows))
    summary, samples = fit_models.summarize(sources)
    baselines = fit_models.fit_baselines(samples, SEED)
    size = Size(8, 4, 8, 1)
    return tuning.Search(FIRST, size, trained.vocabulary, sources, summary, baselines, SEED)


def test_a_search_tries_the_settings_first_and_returns_the_best(trained):
    lines, shared = [], search_of(trained)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EPOCHS", 1)
        patch.setattr(training, "MIN_STEPS", 1)
        best = tuning.search(shared, 60, lines.append, max_trials=2)
    assert len(lines) == best["trials"] == 2
    assert f"'learning_rate': {training.LEARNING_RATE}" in lines[0]
    assert f"'encoder': '{FIRST}'" in lines[0]
    assert best["validation_loss"] == pytest.approx(
        min(float(line.split("loss ")[1].split()[0]) for line in lines), abs=1e-4
    )


def test_a_search_ends_when_its_time_is_over(trained):
    shared = search_of(trained)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EPOCHS", 1)
        patch.setattr(training, "MIN_STEPS", 1)
        assert tuning.search(shared, 1e-3, lambda _: None)["trials"] == 1
