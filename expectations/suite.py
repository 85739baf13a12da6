"""Build a suite of Great Expectations over a profile, which is one row of numbers."""

from collections.abc import Mapping

import great_expectations as gx
import great_expectations.expectations as gxe
from great_expectations.expectations.metadata_types import FailureSeverity

from expectations.rules import Severity
from expectations.thresholds import Bound

SEVERITIES = {
    Severity.STOP: FailureSeverity.CRITICAL,
    Severity.QUARANTINE: FailureSeverity.CRITICAL,
    Severity.WARN: FailureSeverity.WARNING,
}
"""Severity of a rule → severity of its expectation."""


def suite(
    name: str, bounds: Mapping[str, Bound], meanings: Mapping[str, str]
) -> gx.ExpectationSuite:
    """Return a suite with one expectation a rule, on the column with the name of the rule."""
    return gx.ExpectationSuite(
        name=name,
        expectations=[
            gxe.ExpectColumnMaxToBeBetween(
                column=rule,
                min_value=bound.low,
                max_value=bound.high,
                severity=SEVERITIES[bound.severity],
                description=f"{rule}: {meanings.get(rule, rule)}, {bound}",
            )
            for rule, bound in bounds.items()
        ],
    )
