"""The search for better settings."""

import pytest

from intent_tasks.core.dataset import SPLITS
from intent_tasks.models import (
    fit_models,
    training,
    tuning,
)
from intent_tasks.models.sizes import Size
from tests.training.shop import SEED, rows_of, source


def search_of(trained):
    rows = rows_of(trained.events.slice(0, 300), trained.vocabulary)
    sources = dict.fromkeys(SPLITS, source(rows))
    survey, samples = fit_models.summarize(sources)
    known = fit_models.fit_baselines(samples, SEED)
    return tuning.Search(Size(8, 4, 8, 1), trained.vocabulary, sources, survey, known, SEED)


def test_a_search_tries_the_present_settings_first_and_returns_the_best(trained):
    said, found = [], search_of(trained)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EPOCHS", 1)
        patch.setattr(training, "MIN_STEPS", 1)
        best = tuning.search(found, 60, said.append, max_trials=2)
    assert len(said) == best["trials"] == 2
    assert f"'learning_rate': {training.LEARNING_RATE}" in said[0]
    assert best["validation_loss"] == pytest.approx(
        min(float(line.split("loss ")[1].split()[0]) for line in said), abs=1e-4
    )


def test_a_search_ends_when_its_time_is_over(trained):
    found = search_of(trained)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "EPOCHS", 1)
        patch.setattr(training, "MIN_STEPS", 1)
        assert tuning.search(found, 1e-3, lambda _: None)["trials"] == 1
