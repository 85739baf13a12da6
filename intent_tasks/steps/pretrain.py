"""Pretrain the event embedding and the encoder on all events of a window."""

import logging
import shutil
from datetime import date, timedelta
from pathlib import Path

from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.errors import NothingToDo
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, snapshots, training_files, training_window
from intent_tasks.stores.privacy import consent, erasure

log = logging.getLogger(__name__)


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Pretrain on the events until the last label of the training split, and save the weights.

    The later days calibrate and test the version of that window: their events are not read.

    Raises:
        NothingToDo: INTENT_PRETRAINED is not set.
        BadInput: there is no window, or the settings name an unknown encoder or size.
        Refused: there are too few events, the loss is not finite, or a customer of the window was
            erased meanwhile.
    """
    if not settings.pretrained:
        raise NothingToDo(
            "INTENT_PRETRAINED is not set: training starts from new weights. "
            "`intent pretrain` pretrains without it."
        )
    window = training_window.read_window(settings, as_of_date)
    first = date.fromisoformat(window["first_day"])
    until = date.fromisoformat(window["split"]["train"][-1]) + timedelta(days=max(HORIZONS_DAYS))
    target = training_files.pretrained_folder(settings, window)
    temporary = target.with_suffix(".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    allowed = consent.learnable(settings)
    result = _learn(settings, allowed, first, until, temporary)
    erasure.require_none_since_window(settings, as_of_date)
    for earlier in target.parent.glob(f"{as_of_date}-*"):
        if earlier != temporary:
            shutil.rmtree(earlier)
    temporary.rename(target)
    receipt = {
        "as_of_date": str(as_of_date),
        "path": str(target.relative_to(settings.home)),
        "learned_until": str(until),
        "customers_without_consent": allowed.left_out,
        **result,
    }
    return ledger.finish_step(settings, "pretrain", as_of_date, receipt)


def _learn(
    settings: Settings, allowed: consent.Learnable, first: date, until: date, folder: Path
) -> Receipt:
    """Pretrain, save the weights into a folder, and return their part of the receipt."""
    from intent_tasks.models.pretraining import train, weights
    from intent_tasks.models.sizes import size_of

    size = size_of(settings.model_size, settings.model_encoder)
    tables = [
        allowed.of(snapshots.read(settings.home, settings.definition, until, [bucket], first))
        for bucket in range(settings.bucket_count)
    ]
    plan = train.Plan(
        settings.model_encoder, size, settings.definition, first, until, settings.seed
    )
    learned = train.learn(tables, plan, log.info)
    weights.save(folder, learned, until)
    return {
        "digest": weights.digest(folder),
        "rows": learned.rows,
        "products": len(learned.products),
        "passes": len(learned.curve),
        "later_losses": {name: round(loss, 4) for name, loss in learned.best.items()},
    }
