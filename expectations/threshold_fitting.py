"""Bounds from what clean days looked like.

Of the values that a rule had on those days, the 5 and the 95 % quantile are taken, and a margin of
1.5 times their distance is added on both sides: of normal noise that is 6.6 standard deviations,
and one odd day among twenty moves neither quantile. The margin is never less than the rule's slack.
Amounts above 0 are treated the same on a logarithmic scale, so that their low bound is above 0.
"""

import math
import statistics
from collections.abc import Mapping, Sequence

from expectations.rules import Rule, Scale
from expectations.thresholds import Bound

MARGIN = 1.5

LEAST_PART = 0.9
"""A rule that could not be measured on more of the days gets no bound."""


def bounds(rules: Sequence[Rule], days: Sequence[Mapping[str, float | None]]) -> dict[str, Bound]:
    """Return the bound of each rule that could be measured on nearly all days."""
    found = {}
    for rule in rules:
        seen = [day[rule.name] for day in days if rule.name in day]
        values = [value for value in seen if value is not None and math.isfinite(value)]
        if values and len(values) >= LEAST_PART * len(days):
            found[rule.name] = bound(rule, values)
    return found


def bound(rule: Rule, values: Sequence[float]) -> Bound:
    """Return the bound of one rule from its values on clean days."""
    limits = _ratio if rule.scale is Scale.RATIO else _linear
    low, high = limits(values, rule.slack)
    # Nothing that is measured is ever below 0.
    wanted = "low" in rule.sides and (low > 0 or "high" not in rule.sides)
    return Bound(
        rule.severity,
        low if wanted else None,
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
