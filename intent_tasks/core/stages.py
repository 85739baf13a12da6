"""In which stage a customer was, told by what they did in the days after an anchor."""

from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from intent_tasks.core.event_arrays import ABSENT, History
from intent_tasks.core.vocabulary import FIRST_CODE, Ints
from intent_tasks.definition import MAIN_HORIZON_DAYS, STAGES, Definition

COMPARED = 3
"""Different products of one category that somebody who compares looks at."""


BROWSING = ("view", "click", "search", "cart", "remove")
"""Types of events by which the stages before a purchase are told apart."""


def can_be_told(history: History) -> bool:
    """Tell whether there is any event by which somebody who is about to purchase can be known.

    Where a shop records purchases alone, everybody is about to purchase or gone: the stage says no
    more than the probability does, and calls nearly all of them gone.
    """
    return any(history.of_kind(kind).any() for kind in BROWSING)


def stages(
    history: History, customers: npt.NDArray[np.integer], anchor: date, definition: Definition
) -> Ints:
    """Return the stage of each customer, places in `STAGES`, shape (n,).

    Within the main horizon: who purchases was ready, who does nothing was leaving, who puts
    something into the cart or looks at several products of one category was comparing, and who
    does anything else was browsing.

    Args:
        history: all events known by now.
        customers: codes of the customers, shape (n,).
        anchor: shop day.
        definition: tells when days end.
    """
    limits = (definition.day_end(anchor + timedelta(days=h)) for h in (0, MAIN_HORIZON_DAYS))
    start, end = (int(limit.timestamp()) for limit in limits)
    ahead = history.only((history.occurred >= start) & (history.occurred < end))
    found = np.full(len(history.keys), STAGES.index("leaving"), np.int32)
    found[ahead.customer] = STAGES.index("browsing")
    found[ahead.customer[ahead.of_kind("cart")]] = STAGES.index("comparing")
    found[_comparing(ahead)] = STAGES.index("comparing")
    found[ahead.customer[ahead.is_purchase]] = STAGES.index("ready")
    return np.asarray(found[customers])


def _comparing(ahead: History) -> npt.NDArray[np.integer]:
    """Return the customers who look at several products of one category."""
    category = ahead.codes["category_path"]
    looks = (ahead.product != ABSENT) & (category >= FIRST_CODE) & ahead.of_kind("view")
    customer, category, product = (
        each[looks].astype(np.int64) for each in (ahead.customer, category, ahead.product)
    )
    categories, products = (1 + each.max(initial=0) for each in (category, product))
    different = np.unique((customer * categories + category) * products + product)
    pairs, counts = np.unique(different // products, return_counts=True)
    return np.asarray(pairs[counts >= COMPARED] // categories)
