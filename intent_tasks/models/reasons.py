"""Which events moved a score most: each is left out once, and the customer is scored again.

Everything is encoded anew without the event, hand-made features included, so an effect is what the
model really makes of it. Only the latest events are tried: a score hardly hangs on older ones.
Source: Robnik-Šikonja & Kononenko 2008, "Explaining classifications for individual instances".
"""

from datetime import date

import numpy as np
import numpy.typing as npt

from intent_tasks.core.encoding import Encoded, History, encode
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from intent_tasks.models.network import Network, probabilities
from intent_tasks.models.training import logits_of

TRIED = 6
"""Latest events of a customer that are left out, one after the other; each costs a scoring."""


def effects(
    network: Network,
    everything: History,
    definition: Definition,
    anchor: date,
    encoded: Encoded,
    base_rate: float,
) -> npt.NDArray[np.float32]:
    """Return what each event added to the log-odds of a purchase within the main horizon.

    Args:
        network: trained.
        everything: events of these customers.
        definition: population, history and time zone.
        anchor: shop day.
        encoded: the population as it is.
        base_rate: what would be said of a customer of whom nothing is known.

    Returns:
        Shape (n, L), as `encoded.rows`; 0 for padding and for events that were not tried.
    """
    count, length = encoded.rows.shape
    moved = np.zeros((count, length), np.float32)
    actual = _log_odds(network, encoded)
    nothing_known = np.log(base_rate / (1 - base_rate))
    for place in range(length - 1, max(length - 1 - TRIED, -1), -1):
        rows = encoded.rows[:, place]
        if not (rows >= 0).any():
            break
        fewer = encode(everything.without(rows), definition, anchor, length)
        known = np.isin(encoded.customers, fewer.customers)
        without = np.full(count, nothing_known)
        without[known] = _log_odds(network, fewer)
        moved[:, place] = np.where(rows >= 0, actual - without, 0.0)
    return moved


def _log_odds(network: Network, encoded: Encoded) -> npt.NDArray[np.float64]:
    within = probabilities(logits_of(network, encoded.inputs()))
    p = np.clip(within[:, HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)], 1e-7, 1 - 1e-7)
    log_odds: npt.NDArray[np.float64] = np.log(p / (1 - p))
    return log_odds
