"""Learn to read pasts from all events of a window, label or not, and keep the weights."""

import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from intent_tasks.core.ahead import Ahead, ahead_of, learn_products, numbers_of
from intent_tasks.core.anchors import evenly
from intent_tasks.core.covisits import start_vectors, together
from intent_tasks.core.encoding import Encoded
from intent_tasks.core.history import history
from intent_tasks.core.vocabulary import learn_vocabulary, vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.steps.train import window_of
from intent_tasks.stores import postgres, snapshots

MOST_ANCHORS = 30
"""Days whose pasts are learned; neighbouring days tell nearly the same."""
LATER_DAYS = 3
"""Last days, looked at to know when to stop."""
LEAST_HISTORY_DAYS = 14
"""Days of events before the first anchor."""


def folder_of(settings: Settings, as_of_date: date) -> Path:
    """Return where pretraining keeps its files."""
    return settings.home / "pretraining" / str(as_of_date)


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Learn from what happened up to the end of the last outcome that training learns from.

    Nothing of the days on which a version of that window is calibrated or judged is looked at.

    Raises:
        BadInput: there is no window, or the settings name no network.
        Refused: there is too little to learn from, or the loss became no number.
    """
    window = window_of(settings, as_of_date)
    first = date.fromisoformat(window["first_day"])
    until = date.fromisoformat(window["split"]["train"][-1]) + timedelta(days=max(HORIZONS_DAYS))
    target = folder_of(settings, as_of_date)
    temporary = target.with_suffix(".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    learned = _learn(settings, first, until, temporary)
    shutil.rmtree(target, ignore_errors=True)
    temporary.rename(target)
    receipt = {
        "as_of_date": str(as_of_date),
        "path": str(target.relative_to(settings.home)),
        "learned_until": str(until),
        **learned,
    }
    with postgres.writing(settings, "pretrain", as_of_date) as connection:
        postgres.record(connection, "pretrain", as_of_date, receipt)
    return receipt


def _learn(settings: Settings, first: date, until: date, folder: Path) -> Receipt:
    from intent_tasks.models import heads, network, pretrained, pretraining
    from intent_tasks.models.sizes import size_of

    size = size_of(settings.model_size, settings.model_encoder)
    train_days, later_days = days_of(first, until)
    tables = [
        snapshots.read(settings.home, settings.definition, until, [bucket], first)
        for bucket in range(settings.bucket_count)
    ]
    vocabulary, products = learn_vocabulary(tables), learn_products(tables)
    train: list[tuple[Encoded, Ahead]] = []
    later: list[tuple[Encoded, Ahead]] = []
    visits = []
    for table in tables:
        everything = history(table, vocabulary, settings.time_zone)
        numbers = numbers_of(table, products)
        visits.append(together(everything, numbers, len(products)))
        for lessons, days in ((train, train_days), (later, later_days)):
            lessons.append(ahead_of(everything, numbers, settings.definition, days))
    network.deterministic(settings.seed)
    architecture = network.Architecture(
        settings.model_encoder,
        size,
        vocabulary_sizes(vocabulary),
        *moments(np.concatenate([encoded.statics for encoded, _ in train])),
    )
    learner = pretraining.Learner(
        network.build(architecture), heads.build(architecture, len(products))
    )
    learner.heads.products.begin(
        start_vectors(sum(visits[1:], visits[0]), heads.PRODUCT_WIDTH, settings.seed)
    )
    curve = pretraining.fit(learner, train, later, settings.seed, _say)
    pretrained.save(folder, architecture, vocabulary, products, until, learner)
    best = min(curve, key=lambda seen: seen["total"])
    return {
        "digest": pretrained.digest(folder),
        "rows": sum(len(ahead.gap) for _, ahead in train),
        "products": len(products),
        "passes": len(curve),
        "later_losses": {name: round(loss, 4) for name, loss in best.items()},
    }


def days_of(first: date, until: date) -> tuple[list[date], list[date]]:
    """Return the anchors to learn from and those to look at, a gap of the longest horizon apart.

    Args:
        first: day of the first events.
        until: last day of which an outcome may be known.

    Raises:
        Refused: there are too few days.
    """
    gap = timedelta(days=max(HORIZONS_DAYS))
    last = until - gap
    later = last - timedelta(days=LATER_DAYS - 1)
    start, end = first + timedelta(days=LEAST_HISTORY_DAYS), later - gap
    if end < start:
        raise Refused(
            f"From {first} to {until} there are too few days to pretrain: two gaps of {gap.days} "
            f"days and {LEAST_HISTORY_DAYS} of history. Load more history, or do not pretrain."
        )
    return evenly(start, end, MOST_ANCHORS), evenly(later, last, LATER_DAYS)


def moments(statics: npt.NDArray[np.floating]) -> tuple[list[float], list[float]]:
    """Return mean and deviation of each hand-made feature."""
    values = statics.astype(np.float64)
    return values.mean(axis=0).tolist(), (values.std(axis=0) + 1e-3).tolist()


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
