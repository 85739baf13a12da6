"""Learn to read pasts from all events of a window, label or not, and keep the weights."""

import shutil
import sys
from datetime import date, timedelta
from pathlib import Path

from intent_tasks.definition import HORIZONS_DAYS
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.steps.train import pretrained_folder, window_of
from intent_tasks.stores import ledger, snapshots
from intent_tasks.stores.privacy import consent, erasure


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Learn from what happened up to the end of the last outcome that training learns from.

    Nothing of the days on which a version of that window is calibrated or judged is looked at.

    Raises:
        BadInput: there is no window, or the settings name no network.
        Refused: there is too little to learn from, the loss became no number, or somebody who was
            learned from was erased meanwhile.
    """
    window = window_of(settings, as_of_date)
    first = date.fromisoformat(window["first_day"])
    until = date.fromisoformat(window["split"]["train"][-1]) + timedelta(days=max(HORIZONS_DAYS))
    target = pretrained_folder(settings, window)
    temporary = target.with_suffix(".part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    allowed = consent.learnable(settings)
    learned = _learn(settings, allowed, first, until, temporary)
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
        **learned,
    }
    return ledger.finish_step(settings, "pretrain", as_of_date, receipt)


def _learn(
    settings: Settings, allowed: consent.Learnable, first: date, until: date, folder: Path
) -> Receipt:
    from intent_tasks.models import pretrained, pretraining
    from intent_tasks.models.sizes import size_of

    size = size_of(settings.model_size, settings.model_encoder)
    tables = [
        allowed.of(snapshots.read(settings.home, settings.definition, until, [bucket], first))
        for bucket in range(settings.bucket_count)
    ]
    plan = pretraining.Plan(
        settings.model_encoder, size, settings.definition, first, until, settings.seed
    )
    learned = pretraining.learn(tables, plan, _say)
    pretrained.save(folder, learned, until)
    return {
        "digest": pretrained.digest(folder),
        "rows": learned.rows,
        "products": len(learned.products),
        "passes": len(learned.curve),
        "later_losses": {name: round(loss, 4) for name, loss in learned.best.items()},
    }


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
