"""Fit bounds from the numbers of clean days.

A bound is the 5 or 95 % quantile of a rule's numbers, plus a margin of 1.5 times the distance
between both: 6.6 standard deviations of normal noise. One odd day in twenty moves neither quantile.
The margin is at least the rule's slack. Amounts above 0 are fitted on a logarithmic scale, so that
their low bound is above 0.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from expectations.rules import Rule, Scale
from expectations.thresholds import Bound

MARGIN = 1.5

LEAST_PART = 0.9
"""A rule gets a bound if it was measured on at least this share of the days."""


def bounds(rules: Sequence[Rule], days: Sequence[Mapping[str, float | None]]) -> dict[str, Bound]:
    """Return the bound of each rule that was measured on nearly all days."""
    fitted = {}
    for rule in rules:
        numbers = [day[rule.name] for day in days if rule.name in day]
        values = [value for value in numbers if value is not None and math.isfinite(value)]
        if values and len(values) >= LEAST_PART * len(days):
            fitted[rule.name] = bound(rule, values)
    return fitted


def bound(rule: Rule, values: Sequence[float]) -> Bound:
    """Return the bound of one rule from its values on clean days."""
    limits = _ratio if rule.scale is Scale.RATIO else _linear
    low, high = limits(values, rule.slack)
    # No number is ever below 0.
    has_low = "low" in rule.sides and (low > 0 or "high" not in rule.sides)
    return Bound(
        rule.severity,
        low if has_low else None,
        high if "high" in rule.sides else None,
    )


def _linear(values: Sequence[float], slack: float) -> tuple[float, float]:
    low, high = _usual(values)
    margin = max(MARGIN * (high - low), slack)
    return low - margin, high + margin


def _ratio(values: Sequence[float], slack: float) -> tuple[float, float]:
    if min(_usual(values)) <= 0:
        low, high = _linear(values, slack * max(values, default=0))
        return max(low, 0.0), high
    low, high = _linear([math.log(max(value, 1e-12)) for value in values], math.log(1 + slack))
    return math.exp(low), math.exp(high)


def _usual(values: Sequence[float]) -> tuple[float, float]:
    """Return the 5 and the 95 % quantile."""
    if len(values) == 1:
        return values[0], values[0]
    cuts = statistics.quantiles(values, n=20, method="inclusive")
    return cuts[0], cuts[-1]
