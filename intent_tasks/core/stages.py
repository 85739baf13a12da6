"""Stage of a customer, labelled by what they do in the days after an anchor."""

from datetime import date, timedelta

import numpy as np
import numpy.typing as npt

from intent_tasks.core.arrays import Int32Array
from intent_tasks.core.event_arrays import EventArrays
from intent_tasks.core.vocabulary import ABSENT, FIRST_CODE
from intent_tasks.definition import (
    EVENT_TYPES,
    MAIN_HORIZON_DAYS,
    PURCHASE_EVENT_TYPES,
    STAGES,
    Definition,
)

COMPARED_PRODUCTS = 3
"""Distinct products of one category that a comparing customer views."""

BROWSING = tuple(each for each in EVENT_TYPES if each not in PURCHASE_EVENT_TYPES)
"""Event types that distinguish the stages before a purchase."""


def has_stage_events(events: EventArrays) -> bool:
    """Return whether any event distinguishes the stages before a purchase.

    If a shop records only purchases, every customer is either ready or leaving. The stage then adds
    nothing to the probability, and is leaving for nearly everybody.
    """
    return bool(events.is_type(*BROWSING).any())


def stages(
    events: EventArrays, customers: npt.NDArray[np.integer], anchor: date, definition: Definition
) -> Int32Array:
    """Return the stage of each customer, indices in `STAGES`, shape (n,).

    By the events within the main horizon: with a purchase, ready; with a cart event or views of
    several products of one category, comparing; with any other event, browsing; without events,
    leaving.

    Args:
        events: all events.
        customers: codes of the customers, shape (n,).
        anchor: shop day.
        definition: when days end.
    """
    limits = (definition.day_end(anchor + timedelta(days=h)) for h in (0, MAIN_HORIZON_DAYS))
    start, end = (int(limit.timestamp()) for limit in limits)
    later = events.select((events.occurred >= start) & (events.occurred < end))
    stage = np.full(len(events.keys), STAGES.index("leaving"), np.int32)
    stage[later.customer] = STAGES.index("browsing")
    stage[later.customer[later.is_type("cart")]] = STAGES.index("comparing")
    stage[_comparing(later)] = STAGES.index("comparing")
    stage[later.customer[later.is_purchase]] = STAGES.index("ready")
    return np.asarray(stage[customers])


def _comparing(later: EventArrays) -> npt.NDArray[np.integer]:
    """Return the customers who view several products of one category."""
    category = later.codes_by_column["category_path"]
    views = (later.product != ABSENT) & (category >= FIRST_CODE) & later.is_type("view")
    customer, category, product = (
        each[views].astype(np.int64) for each in (later.customer, category, later.product)
    )
    categories, products = (1 + each.max(initial=0) for each in (category, product))
    distinct = np.unique((customer * categories + category) * products + product)
    pairs, counts = np.unique(distinct // products, return_counts=True)
    return np.asarray(pairs[counts >= COMPARED_PRODUCTS] // categories)
