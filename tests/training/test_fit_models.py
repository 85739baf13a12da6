"""The samples of the baselines are bounded and even; the network keeps only sure gains."""

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


def rows_of(first, start):
    """Return rows of one customer each, whose only feature is their number from `start` on."""
    numbers = np.arange(len(first))
    features = (start + numbers).astype(np.float32)[:, None]
    encoded = SimpleNamespace(
        features=features, customers=numbers, events=SimpleNamespace(keys=numbers)
    )
    return Rows(encoded, np.asarray(first, np.int32))


@pytest.mark.parametrize(("max_rows", "stride"), [(2000, 1), (COUNT, 1), (1000, 2), (260, 4)])
def test_a_sample_is_even_and_bounded_for_parts_of_any_length(max_rows, stride):
    first = np.random.default_rng(1).integers(0, NEVER + 1, COUNT)
    sample, start = fit_models.RowSample(max_rows), 0
    for length in (0, 1, 400, 2, 600):
        sample.add(rows_of(first[start : start + length], start))
        assert sum(len(each.first_purchase) for each in sample.parts) <= max_rows
        start += length
    rows = sample.rows()
    for values in (rows.features[:, 0], rows.customers):
        np.testing.assert_array_equal(values, np.arange(0, COUNT, stride))
    np.testing.assert_array_equal(fit_models.at_main_horizon(rows).outcomes, (first <= 2)[::stride])


def test_the_samples_of_the_baselines_have_no_test_rows():
    samples = fit_models.Samples()
    for n, split in enumerate(("train", "calibrate", "test")):
        samples.add(split, rows_of([0, NEVER], 10 * n))
    sampled = {split: s.rows().features[:, 0].tolist() for split, s in samples.by_split.items()}
    assert sampled == {"train": [0, 1], "calibrate": [10, 11]}


def test_batches_do_not_hold_memory_of_rows_after_use():
    """Otherwise the memory would grow with the number of buckets."""
    features = np.zeros((8, 1), np.float32)
    rows = Rows(SimpleNamespace(features=features), np.zeros(8, np.int32))
    reference = weakref.ref(features)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(input_pipeline, "batches", lambda *_: iter([]))
        assert list(input_pipeline.training_batches(rows, SIZES["nano"], 8, None)) == []
    del rows, features
    gc.collect()
    assert reference() is None


def test_more_rows_mean_fewer_epochs_and_validations():
    epochs = {rows: training.Plan(rows, 1).epochs for rows in (1_000, 50_000, 1_600_000, 10**8)}
    assert epochs == {1_000: 100, 50_000: 3, 1_600_000: 1, 10**8: 1}
    large = training.Plan(10**8, 1)
    assert large.epoch_steps / large.round_steps <= training.MAX_VALIDATIONS + 0.1


def test_the_events_part_of_the_logits_shrinks_unless_its_gain_is_sure(trained):
    """First the ensemble alone predicts the outcomes, then the events do."""

    def trees(features):
        return np.full(len(features), 0.3)

    rows, weights = trained.later, trained.model.network.everything.get_weights()
    built = network.build(trained.model.architecture)
    built.everything.set_weights(weights)
    built.calibration.set_weights([np.ones(1), np.zeros(4)])
    learned = training.predict_logits(built, rows.encoded)
    base = built.ensemble_logits(rows.encoded.features)
    assert np.abs(learned - base).max() > 0.1, "events add nothing, so the test would be empty"
    rng = np.random.default_rng(SEED)
    for truth, least, most in (
        (base, 0.0, 0.5),
        (5 * learned - 4 * base, 0.9, 1.0),
    ):
        chance = hazards.probabilities(truth)[:, blend.MAIN_INDEX]
        first = np.where(rng.random(len(chance)) < chance, 0, NEVER).astype(np.int32)
        built.everything.set_weights(weights)
        built.calibration.set_weights([np.ones(1), np.zeros(4)])
        later = fit_models._shrink_event_logits(built, trees, source(Rows(rows.encoded, first)))
        shrunk = training.predict_logits(built, rows.encoded)
        np.testing.assert_allclose(shrunk, later.logits, atol=1e-4)
        share = np.median((shrunk - base) / (learned - base))
        assert least <= share <= most + 1e-3
