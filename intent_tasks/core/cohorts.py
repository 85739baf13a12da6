"""What rows are told apart by, so that no part of the customers pays for the mean."""

from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.dataset import Rows
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import FIRST_CODE, Vocabulary
from intent_tasks.definition import EVENT_TYPES

LEAST_EVENTS = (1, 5, 20, 100)
"""Least numbers of known events, by which histories are short or long."""


def told_apart(rows: Rows, vocabulary: Vocabulary) -> dict[str, npt.NDArray[Any]]:
    """Return the segments of n rows, texts of shape (n,) each.

    Args:
        rows: encoded.
        vocabulary: names the channels.

    Returns:
        By history (known events), customer (whether they have purchased) and channel (of the
        latest event).
    """
    encoded = rows.encoded
    kinds = [FEATURES.index(f"{kind}_count_log") for kind in EVENT_TYPES]
    events = np.rint(np.expm1(encoded.features[:, kinds])).sum(axis=1)
    bought = encoded.features[:, FEATURES.index("purchase_count_log")] > 0
    latest = encoded.place[encoded.event_end[1:] - 1]
    channels = np.array(["unknown"] * FIRST_CODE + list(vocabulary["channel"]))
    lengths = np.array([f"{least} events or more" for least in LEAST_EVENTS])
    return {
        "history": lengths[np.digitize(events, LEAST_EVENTS[1:])],
        "customer": np.where(bought, "has purchased", "no purchase yet"),
        "channel": channels[encoded.events.codes["channel"][latest]],
    }
