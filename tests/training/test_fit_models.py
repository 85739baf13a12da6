"""What baselines are given stays bounded, and all models of a window are fitted one way."""

import gc
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

from intent_tasks.core.anchors import NEVER
from intent_tasks.core.dataset import Rows
from intent_tasks.models import blend, fit_models, hazards, input_pipeline, network, training
from intent_tasks.models.sizes import SIZES
from tests.training.shop import SEED, source

COUNT = 1003


def rows_of(first, begin):
    """Return rows of as many customers, whose only feature is their number."""
    numbers = np.arange(len(first))
    features = (begin + numbers).astype(np.float32)[:, None]
    encoded = SimpleNamespace(
        features=features, customers=numbers, events=SimpleNamespace(keys=numbers)
    )
    return Rows(encoded, np.asarray(first, np.int32))


@pytest.mark.parametrize(("most", "every"), [(2000, 1), (COUNT, 1), (1000, 2), (260, 4)])
def test_a_sample_is_even_and_bounded_however_the_rows_come(most, every):
    first = np.random.default_rng(1).integers(0, NEVER + 1, COUNT)
    sample, begin = fit_models.RowSample(most), 0
    for length in (0, 1, 400, 2, 600):
        sample.add(rows_of(first[begin : begin + length], begin))
        assert sum(len(each.first_purchase) for each in sample.kept) <= most
        begin += length
    found = sample.rows()
    for values in (found.features[:, 0], found.customers):
        np.testing.assert_array_equal(values, np.arange(0, COUNT, every))
    np.testing.assert_array_equal(fit_models.at_main_horizon(found).outcomes, (first <= 2)[::every])


def test_the_test_days_are_not_among_what_baselines_are_given():
    samples = fit_models.Samples()
    for n, part in enumerate(("train", "calibrate", "test")):
        samples.add(part, rows_of([0, NEVER], 10 * n))
    given = {part: sample.rows().features[:, 0].tolist() for part, sample in samples.of.items()}
    assert given == {"train": [0, 1], "calibrate": [10, 11]}


def test_rows_that_were_learned_are_let_go_of():
    """A pass over a large shop must not add up."""
    features = np.zeros((8, 1), np.float32)
    rows = Rows(SimpleNamespace(features=features), np.zeros(8, np.int32))
    learned = weakref.ref(features)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(input_pipeline, "batches", lambda *_: iter([]))
        assert list(input_pipeline.training_batches(rows, SIZES["nano"], 8, None)) == []
    del rows, features
    gc.collect()
    assert learned() is None


def test_the_more_rows_the_fewer_passes_and_looks():
    passes = {rows: training.Plan(rows, 1).epochs for rows in (1_000, 50_000, 1_600_000, 10**8)}
    assert passes == {1_000: 100, 50_000: 3, 1_600_000: 1, 10**8: 1}
    large = training.Plan(10**8, 1)
    assert large.epoch_steps / large.round_steps <= training.MAX_VALIDATIONS + 0.1


def test_what_events_add_is_taken_back_where_it_is_not_surely_a_gain(trained):
    """Outcomes of later rows that events know nothing of, and such as they know all of."""
    known = SimpleNamespace(lightgbm=lambda features: np.full(len(features), 0.3))
    rows, kept = trained.later, trained.model.network.everything.get_weights()
    built = network.build(trained.model.architecture)
    built.everything.set_weights(kept)
    built.calibration.set_weights([np.ones(1), np.zeros(4)])
    learned = training.predict_logits(built, rows.encoded)
    base = built.ensemble_logits(rows.encoded.features)
    assert np.abs(learned - base).max() > 0.1, "events say nothing, so nothing can be seen"
    rng = np.random.default_rng(SEED)
    for truth, least, most in (
        (base, 0.0, 0.5),
        (5 * learned - 4 * base, 0.9, 1.0),
    ):
        chance = hazards.probabilities(truth)[:, blend.MAIN_INDEX]
        first = np.where(rng.random(len(chance)) < chance, 0, NEVER).astype(np.int32)
        built.everything.set_weights(kept)
        built.calibration.set_weights([np.ones(1), np.zeros(4)])
        later = fit_models._shrink_event_logits(built, known, source(Rows(rows.encoded, first)))
        said = training.predict_logits(built, rows.encoded)
        np.testing.assert_allclose(said, later.logits, atol=1e-4)
        share = np.median((said - base) / (learned - base))
        assert least <= share <= most + 1e-3
