"""A rule of the contract: one number and the bounds that it must keep.

The module of a table lists its rules. One `SELECT` of one row measures all of them, so a day is
read once. The numbers of a training set are computed from arrays. `thresholds.py` has the bounds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from expectations.measures import Day


class Severity(StrEnum):
    """The consequence of a broken rule."""

    STOP = "stop"
    """The day is not predicted; the earlier predictions stay."""
    QUARANTINE = "quarantine"
    """Rows that break it go to quarantine. If their share exceeds the bound, the day stops."""
    WARN = "warn"
    """The receipt names the rule, and the day continues."""


class Scale(StrEnum):
    """The scale on which the distance between bounds and past numbers is fitted."""

    LINEAR = "linear"
    """For shares near 0: the distance is a difference."""
    RATIO = "ratio"
    """For amounts above 0: the distance is a factor, and the bound is never 0."""


@dataclass(frozen=True)
class Rule:
    """A number of a table, with its meaning and how its bounds are fitted.

    Args:
        name: unique in its table; begins with the column.
        severity: default severity, which the thresholds may replace.
        meaning: description of the number, as a phrase.
        needs: columns of the relation that the measurement reads.
        measure: returns the SQL of the number over the rows of the day, or, of a training set, the
            number.
        scale: of the distance between bounds and past numbers.
        slack: minimum distance: a share on the linear scale, a relative change on the ratio scale.
        sides: the bounds that are fitted.
        advice: advice for a broken rule; empty: repair the load.
    """

    name: str
    severity: Severity
    meaning: str
    needs: tuple[str, ...]
    measure: Callable[[Any], Any]
    scale: Scale = Scale.LINEAR
    slack: float = 0.01
    sides: tuple[str, ...] = ("low", "high")
    advice: str = ""


ROW_COUNT = "row_count"


def profile(day: Day, rules: Iterable[Rule]) -> sa.Select[*tuple[Any, ...]]:
    """Select one row: the number of each rule, labelled by its name, and `row_count`."""
    counted = sa.func.count().label(ROW_COUNT)
    measured = [rule.measure(day).label(rule.name) for rule in rules]
    return sa.select(counted, *measured).select_from(day.rows).add_cte(*day.sorted_once())
