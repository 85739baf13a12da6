"""The step `train` looks at what it is given before it spends time on it."""

from datetime import date, timedelta

import pyarrow as pa
import pytest
import sqlalchemy as sa

from intent_tasks.errors import Refused
from intent_tasks.models import fitting
from intent_tasks.steps import train
from intent_tasks.stores import postgres, snapshots
from intent_tasks.tables import contract_results

pytestmark = pytest.mark.database

DAY = date(2026, 6, 30)
SPLIT = {"train": [60, 59], "calibrate": [44], "test": [29, 28]}
"""Anchors, in days before DAY."""


@pytest.fixture
def windowed(settings):
    """Settings of a shop with a window in which nobody did anything."""
    first = DAY - timedelta(days=90)
    for n in range(91):
        day, empty = first + timedelta(days=n), pa.Table.from_pylist([], snapshots.SCHEMA)
        snapshots.write_day(settings.home, day, empty, settings.bucket_count, 0)
    split = {p: [str(DAY - timedelta(days=n)) for n in back] for p, back in SPLIT.items()}
    window = {"as_of_date": str(DAY), "first_day": str(first), "last_day": str(DAY), "split": split}
    with postgres.writing(settings, "window", DAY) as connection:
        postgres.record(connection, "window", DAY, window | {"snapshot_digest": "of nothing"})
    return settings


def test_a_training_set_that_breaks_the_contract_is_refused_before_anything_is_fitted(
    windowed, monkeypatch
):
    monkeypatch.setattr(fitting, "fit_baselines", lambda *_: pytest.fail("time was spent"))
    said = r"training set of 2026-06-30 breaks .*train_rows .* is 0, allowed at least 1: load more"
    with pytest.raises(Refused, match=said) as refused:
        train.run(windowed, DAY)
    assert "Nothing was learned from it" in str(refused.value)
    assert "train_rows" in (windowed.home / refused.value.page).read_text()
    with postgres.reading(windowed.analyst_url) as connection:
        query = sa.select(contract_results.c.rule).filter_by(suite="training_set", passed=False)
        assert "train_rows" in set(connection.scalars(query))
