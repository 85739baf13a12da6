"""What the events that arrived on one day must look like.

A critical expectation stops the day when more than the tolerated share of rows fails it; the single
bad row is not its business but that of the extract, which sets it aside. A warning is reported.
"""

from collections.abc import Collection

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from intent_tasks.definition import EVENT_TYPES
from intent_tasks.tables import events

CRITICAL = FailureSeverity.CRITICAL
WARNING = FailureSeverity.WARNING

TOLERATED = 0.99
"""Least share of good rows: one event in a hundred may be broken before something is wrong."""

REQUIRED = [column.name for column in events.columns if not column.nullable]
"""Columns without which there is nothing to learn from."""

RANGES = {"price": (0.0, 1e6), "quantity": (1, 10_000), "rating": (1, 5)}
"""Smallest and largest plausible value."""


def suite(columns: Collection[str]) -> gx.ExpectationSuite:
    """Return the suite for a table of events with these columns; the optional may be absent."""
    return gx.ExpectationSuite(
        name="events",
        expectations=[*_present(), *_required(columns), *_optional(columns)],
    )


def _present() -> list[Expectation]:
    # An empty table passes almost every expectation, so rows are counted first.
    counted = gxe.ExpectTableRowCountToBeBetween(min_value=1, severity=CRITICAL)
    there = [gxe.ExpectColumnToExist(column=name, severity=CRITICAL) for name in REQUIRED]
    return [counted, *there]


def _required(columns: Collection[str]) -> list[Expectation]:
    filled = [
        gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=TOLERATED, severity=CRITICAL)
        for name in REQUIRED
        if name in columns
    ]
    known = gxe.ExpectColumnValuesToBeInSet(
        column="event_type", value_set=list(EVENT_TYPES), mostly=TOLERATED, severity=CRITICAL
    )
    unique = gxe.ExpectColumnValuesToBeUnique(
        column="event_id", mostly=TOLERATED, severity=CRITICAL
    )
    checked = {"event_type": known, "event_id": unique}
    return filled + [rule for name, rule in checked.items() if name in columns]


def _optional(columns: Collection[str]) -> list[Expectation]:
    ranges: list[Expectation] = [
        gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=low, max_value=high, mostly=TOLERATED, severity=WARNING
        )
        for name, (low, high) in RANGES.items()
        if name in columns
    ]
    if not {"occurred_at", "ingested_at"} <= set(columns):
        return ranges
    in_order = gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A="ingested_at",
        column_B="occurred_at",
        or_equal=True,
        ignore_row_if="either_value_is_missing",
        mostly=TOLERATED,
        severity=WARNING,
    )
    return [*ranges, in_order]
