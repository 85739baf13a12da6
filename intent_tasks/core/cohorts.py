"""Cohorts of customers, whose metrics show bad results that the mean of all would hide."""

from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.dataset import Rows
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import FIRST_CODE, Vocabulary
from intent_tasks.definition import EVENT_TYPES

MIN_HISTORY_EVENTS = (1, 5, 20, 100)
"""Smallest number of known events of each cohort of history length."""


def cohorts_of(rows: Rows, vocabulary: Vocabulary) -> dict[str, npt.NDArray[Any]]:
    """Return the cohorts of n rows, texts of shape (n,) each.

    Args:
        rows: encoded customers at their anchors.
        vocabulary: codes of the channels.

    Returns:
        `history` (number of known events), `customer` (with or without a purchase) and `channel`
        (of the latest event).
    """
    encoded = rows.encoded
    kinds = [FEATURES.index(f"{kind}_count_log") for kind in EVENT_TYPES]
    events = np.rint(np.expm1(encoded.features[:, kinds])).sum(axis=1)
    bought = encoded.features[:, FEATURES.index("purchase_count_log")] > 0
    latest = encoded.place[encoded.event_end[1:] - 1]
    channels = np.array(["unknown"] * FIRST_CODE + list(vocabulary["channel"]))
    lengths = np.array([f"{least} events or more" for least in MIN_HISTORY_EVENTS])
    return {
        "history": lengths[np.digitize(events, MIN_HISTORY_EVENTS[1:])],
        "customer": np.where(bought, "has purchased", "no purchase yet"),
        "channel": channels[encoded.events.codes_by_column["channel"][latest]],
    }
