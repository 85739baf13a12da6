"""A score that is no probability is refused by its number of rows, and nobody is named."""

import numpy as np
import pyarrow as pa
import pytest

from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import Refused
from intent_tasks.stores import score_files

NAMES = [f"probability_{h}d" for h in HORIZONS_DAYS]


def scores(value):
    columns = {name: np.array([0.0, 0.5, 1.0]) for name in NAMES}
    columns[NAMES[-1]] = np.array([0.5, value, value])
    return pa.table({"customer_key": ["a", "customer 7", "c"], **columns})


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.0000001, -1e-9])
def test_what_is_no_probability_is_refused_with_counts_only(value):
    with pytest.raises(Refused, match="predictions of today break the contract: in 2 of 3") as got:
        score_files.require_probabilities(scores(value), "predictions of today")
    assert "customer 7" not in str(got.value)


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_probabilities_pass(value):
    score_files.require_probabilities(scores(value), "predictions of today")
