"""Hand-made features of a customer's past: of the network and of the baselines."""

from typing import Any

import numpy as np
import numpy.typing as npt

from intent_tasks.core.history import Floats, History

WINDOWS_DAYS = (1, 3, 7, 14, 30, 90)
COUNTED = ("any", "cart", "purchase")
STATICS = (
    *(f"{kind}_count_{days}d_log" for kind in COUNTED for days in WINDOWS_DAYS),
    *(f"days_since_{kind}_log" for kind in COUNTED),
    "days_since_first_log",
    "history_length_log",
)
"""Hand-made features of a customer's past: of the network and of the baselines."""

_DAY = 86_400
_FAR_DAYS = 400.0
_SPAN = 2**34  # seconds; keeps (customer, time) in one integer


def features(known: History, customers: npt.NDArray[Any], end: int) -> Floats:
    """Return the features of customers from what was known at an anchor.

    Args:
        known: events known at the anchor.
        customers: codes of the customers, each with an event, shape (n,).
        end: the anchor in Unix seconds.

    Returns:
        Shape (n, len(STATICS)).
    """
    first = np.searchsorted(known.customer, customers, side="left")
    after = np.searchsorted(known.customer, customers, side="right")
    counts, since = [], []
    for kind in COUNTED:
        chosen = known.of_kind(kind)
        place = known.customer[chosen].astype(np.int64) * _SPAN + known.occurred[chosen]
        last = np.searchsorted(place, (customers.astype(np.int64) + 1) * _SPAN)
        for days in WINDOWS_DAYS:
            begun = np.searchsorted(place, customers.astype(np.int64) * _SPAN + end - days * _DAY)
            counts.append(np.log1p(last - begun))
        since.append(_days_since(place, customers, last, end))
    tenure = np.log1p((end - known.occurred[first]) / _DAY)
    return np.stack([*counts, *since, tenure, np.log1p(after - first)], axis=1).astype(np.float32)


def _days_since(
    place: npt.NDArray[np.int64],
    customers: npt.NDArray[Any],
    last: npt.NDArray[np.int64],
    end: int,
) -> npt.NDArray[Any]:
    if len(place) == 0:
        return np.full(len(customers), np.log1p(_FAR_DAYS))
    latest = place[np.maximum(last - 1, 0)]
    found = (last > 0) & (latest // _SPAN == customers)
    days = (end - latest % _SPAN) / _DAY
    return np.log1p(np.where(found, np.maximum(days, 0), _FAR_DAYS))
