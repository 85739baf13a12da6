"""`intent step pretrain` and `intent step train` with INTENT_PRETRAINED against the database."""

from datetime import date, timedelta

import numpy as np
import pytest

from intent_tasks.core.dataset import SPLITS
from intent_tasks.errors import BadInput, NothingToDo, Refused
from intent_tasks.models import model_io, training
from intent_tasks.models.pretraining import train as pretraining
from intent_tasks.models.pretraining import weights
from intent_tasks.simulator import Config
from intent_tasks.steps import pretrain, train
from intent_tasks.stores import ledger
from intent_tasks.stores.training_files import MODEL
from tests.training.test_pretrain_step import fill

pytestmark = pytest.mark.database

SHOP = Config(customers=120, days=80, products=100, leaves=5, last_day=date(2026, 6, 30))
DAY = SHOP.last_day
ANCHORS = {"train": range(34, 39), "calibrate": range(53, 56), "test": range(60, 64)}


@pytest.fixture
def windowed(settings, monkeypatch):
    """Settings of a shop with snapshots and a window of training; learning is cut short."""
    fill(settings.home, SHOP)
    split = {
        part: [str(SHOP.first_day + timedelta(days=n)) for n in ANCHORS[part]] for part in SPLITS
    }
    window = {"first_day": str(SHOP.first_day), "last_day": str(DAY), "as_of_date": str(DAY)}
    with ledger.transaction(settings, "window", DAY) as connection:
        receipt = window | {"split": split, "snapshot_digest": "of these snapshots"}
        ledger.record(connection, "window", DAY, receipt)
    monkeypatch.setattr(training, "EPOCHS", 1)
    monkeypatch.setattr(training, "MIN_STEPS", 2)
    monkeypatch.setattr(pretraining, "EPOCHS", 1)
    return settings.model_copy(update={"pretrained": True})


def test_training_starts_from_the_pretrained_weights(windowed, monkeypatch):
    begun = []
    give = weights.Pretrained.initialize

    def seen(self, network, *more):
        give(self, network, *more)
        begun.append(network.read.get_weights())

    monkeypatch.setattr(weights.Pretrained, "initialize", seen)
    with pytest.raises(BadInput, match=f"Run `intent pretrain --as-of-date {DAY}` first"):
        train.run(windowed, DAY)
    weights_receipt = pretrain.run(windowed, DAY)
    assert ledger.receipt_of(windowed, "pretrain", DAY) == weights_receipt
    receipt = train.run(windowed, DAY)
    loaded = weights.load(windowed.home / weights_receipt["path"])
    assert receipt["pretrained"] == weights_receipt["digest"] == loaded.digest
    for left, right in zip(begun[0], loaded.read, strict=True):
        np.testing.assert_array_equal(left, right)
    model = model_io.load(windowed.home / receipt["path"] / MODEL)
    assert model.vocabulary == loaded.vocabulary
    assert ledger.receipt_of(windowed, "train", DAY) == receipt

    monkeypatch.setattr(pretraining, "learn", lambda *_: pytest.fail("pretrained again"))
    assert train.run(windowed, DAY)["digest"] == receipt["digest"], "twice the same bytes"


def test_pretraining_is_skipped_unless_the_setting_asks_for_it(windowed):
    unset = windowed.model_copy(update={"pretrained": False})
    with pytest.raises(NothingToDo, match="INTENT_PRETRAINED is not set"):
        pretrain.run(unset, DAY)
    assert ledger.receipt_of(windowed, "pretrain", DAY) is None
    assert train.run(unset, DAY)["pretrained"] is None


def test_weights_that_changed_after_pretraining_are_refused(windowed):
    folder = windowed.home / pretrain.run(windowed, DAY)["path"]
    file = folder / "products.json"
    file.write_text(file.read_text() + " ")
    with pytest.raises(Refused, match="are not those that `intent pretrain` wrote"):
        train.run(windowed, DAY)
