"""Functions that build the rules that several columns and tables share."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import sqlalchemy as sa

from expectations.measures import Day, Number, garbled, mean_length, missing, share
from expectations.rules import Rule, Scale, Severity

VALUES = {
    "drift": "distance of the shares of {0} from the usual ones, 0 to 1",
    "new": "share of rows whose {0} was not seen before",
    "least": "share of the {0} that lost most, relative to its usual share",
}


def rule(
    name: str,
    severity: Severity,
    meaning: str,
    needs: str,
    measure: Callable[[Day], Number],
    **more: Any,  # noqa: ANN401 - the other fields of a rule
) -> Rule:
    """Return a rule; `needs` names columns, with spaces between."""
    return Rule(name, severity, meaning, tuple(needs.split()), measure, **more)


def missing_rules(columns: Iterable[sa.Column[Any]]) -> list[Rule]:
    """Return a rule a column for its share of missing values; required columns are stricter."""
    return [
        rule(
            f"{column.name}_missing",
            Severity.WARN if column.nullable else Severity.QUARANTINE,
            f"share of rows without {column.name}",
            column.name,
            partial(_missing_share, column.name),
            slack=0.02 if column.nullable else 0.01,
            sides=("low", "high") if column.nullable else ("high",),
        )
        for column in columns
    ]


def _missing_share(name: str, day: Day) -> Number:
    return share(missing(day.c[name]))


def length_rule(name: str, severity: Severity) -> Rule:
    """Return the rule of the mean length of a text."""
    meaning = f"mean number of characters of {name}"
    return rule(
        f"{name}_length", severity, meaning, name, lambda t: mean_length(t.c[name]),
        scale=Scale.RATIO, slack=0.05,
    )  # fmt: skip


def variety_rule(name: str, severity: Severity, few: bool = True) -> Rule:
    """Return the rule of the number of different values; `few`: far fewer than rows."""
    meaning = f"different values of {name} per row that has one"
    return rule(
        f"{name}_variety", severity, meaning, name,
        lambda t: t.groups(name).variety() if few else t.variety(name),
        scale=Scale.RATIO, slack=0.1,
    )  # fmt: skip


def largest_rule(name: str, severity: Severity) -> Rule:
    """Return the rule of the share of the most frequent value, which may have replaced others."""
    meaning = f"share of the rows of the most frequent {name}"
    return rule(
        f"{name}_largest", severity, meaning, name, lambda t: t.groups(name).largest(),
        sides=("high",), slack=0.02,
    )  # fmt: skip


def garbled_rule(name: str) -> Rule:
    """Return the rule of the share of texts that were read in a wrong encoding."""
    meaning = f"share of {name} that was read in a wrong encoding"
    return rule(
        f"{name}_garbled", Severity.WARN, meaning, name, lambda t: garbled(t.c[name]),
        sides=("high",), slack=0.005,
    )  # fmt: skip


def value_rules(name: str, severity: Severity, slack: float = 0.02) -> list[Rule]:
    """Return the rules that compare the shares of the values of a column with the usual ones."""

    def value_rule(kind: str, measure: Callable[[Day], Number], **more: Any) -> Rule:  # noqa: ANN401
        return rule(f"{name}_{kind}", severity, VALUES[kind].format(name), name, measure, **more)

    return [
        value_rule("drift", lambda t: t.values(name).drift(), sides=("high",), slack=slack),
        value_rule("new", lambda t: t.values(name).new(), sides=("high",), slack=slack / 10),
        value_rule("least", lambda t: t.values(name).least(), sides=("low",), scale=Scale.RATIO,
                   slack=slack * 10),
    ]  # fmt: skip
