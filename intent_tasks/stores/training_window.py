"""The window of a training: its receipt, and the data set that is read from its snapshots."""

from datetime import date
from typing import Any

import pyarrow as pa

from intent_tasks.core.dataset import SPLITS, Dataset
from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings
from intent_tasks.stores import ledger, snapshots
from intent_tasks.stores.privacy import consent


def read_window(settings: Settings, as_of_date: date) -> dict[str, Any]:
    """Return the receipt of the window of a day.

    Raises:
        BadInput: the day has no window.
    """
    window = ledger.receipt_of(settings, "window", as_of_date)
    if window is None:
        raise BadInput(f"Run `intent step window --as-of-date {as_of_date}` first.")
    return window


def open_dataset(settings: Settings, window: dict[str, Any], allowed: consent.Learnable) -> Dataset:
    """Return the data set of a window; it reads the snapshots bucket by bucket.

    Args:
        settings: of this installation.
        window: receipt of the window.
        allowed: the customers who consent to training.
    """
    first, last = (date.fromisoformat(window[name]) for name in ("first_day", "last_day"))

    def read(bucket: int) -> pa.Table:
        events = snapshots.read(settings.home, settings.definition, last, [bucket], first)
        return allowed.of(events)

    split = {name: [date.fromisoformat(day) for day in window["split"][name]] for name in SPLITS}
    return Dataset(read, settings.bucket_count, split, settings.definition, settings.seed)
