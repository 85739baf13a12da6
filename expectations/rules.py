"""What a rule of the contract is: one number measured in SQL, and the bounds it has to keep.

A table's module lists its rules. What they measure is one `SELECT` of one row, so a day is read
once whatever the number of rules; of a training set it is computed from arrays. Where the bounds
come from: `thresholds.py`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from expectations.measures import Day


class Severity(StrEnum):
    """What follows when a rule is broken."""

    STOP = "stop"
    """Nothing is predicted from the day; yesterday's predictions stay."""
    QUARANTINE = "quarantine"
    """Each row that breaks it is set aside; above the bound, a share of rows, the day stops."""
    WARN = "warn"
    """It is said, and the day goes on."""


class Scale(StrEnum):
    """How the distance from what was seen is counted when bounds are fitted."""

    LINEAR = "linear"
    """For shares that are usually near 0: a bound is so far away."""
    RATIO = "ratio"
    """For amounts above 0: a bound is so many times as much, and never 0."""


@dataclass(frozen=True)
class Rule:
    """A number and what it may be.

    Args:
        name: of the rule within its table; names the column first.
        severity: unless the thresholds say otherwise.
        meaning: what is measured, as a phrase.
        needs: columns of the relation without which it is not measured.
        measure: the SQL of the number, over the rows of the day; of a training set, the number.
        scale: of the distance between bounds and what was seen.
        slack: least such distance: a share on the linear scale, a relative change on the other.
        sides: which bounds are fitted.
        advice: what to do when it is broken, where that is more than to mend the load.
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
