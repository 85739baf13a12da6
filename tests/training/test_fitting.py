"""What baselines are given stays bounded, and all models of a window are fitted one way."""

from types import SimpleNamespace

import numpy as np
import pytest

from intent_tasks.core.anchors import NEVER
from intent_tasks.core.slices import Rows
from intent_tasks.models import fitting

COUNT = 1003


def rows_of(first, begin):
    """Return rows whose only feature is their number."""
    features = np.arange(begin, begin + len(first), dtype=np.float32)[:, None]
    return Rows(SimpleNamespace(features=features), np.asarray(first, np.int32))


@pytest.mark.parametrize(("most", "every"), [(2000, 1), (COUNT, 1), (1000, 2), (260, 4)])
def test_a_sample_is_even_and_bounded_however_the_rows_come(most, every):
    first = np.random.default_rng(1).integers(0, NEVER + 1, COUNT)
    sample, begin = fitting.Sample(most), 0
    for length in (0, 1, 400, 2, 600):
        sample.add(rows_of(first[begin : begin + length], begin))
        assert sum(map(len, sample.outcomes)) <= most
        begin += length
    found = sample.labelled()
    np.testing.assert_array_equal(found.features[:, 0], np.arange(0, COUNT, every))
    np.testing.assert_array_equal(found.outcomes, (first <= 2)[::every])


def test_the_test_days_are_not_among_what_baselines_are_given():
    samples = fitting.Samples()
    for n, part in enumerate(("train", "calibrate", "test")):
        samples.add(part, rows_of([0, NEVER], 10 * n))
    given = {part: sample.labelled().features[:, 0].tolist() for part, sample in samples.of.items()}
    assert given == {"train": [0, 1], "calibrate": [10, 11]}
