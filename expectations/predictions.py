"""The rules of a day's predictions, checked before they are published."""

from datetime import date
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from expectations.measures import Day, Number, missing, share, shift
from expectations.rule_factories import rule, value_rules
from expectations.rules import Rule, Scale, Severity
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.tables import predictions

TABLE = predictions

STOP, WARN = Severity.STOP, Severity.WARN

MAIN = f"probability_{MAIN_HORIZON_DAYS}d"
PROBABILITIES = tuple(f"probability_{days}d" for days in HORIZONS_DAYS)

COMPARED = ("band", "fallback_level", "channel")
MEASURED = (MAIN,)


def relation(first: date, last: date) -> sa.CTE:
    """Return the champion's predictions from one day to another."""
    days = predictions.c.as_of_date.between(first, last)
    rows = sa.select(predictions).where(days, predictions.c.role == "champion").cte("rows")
    return rows.prefix_with("NOT MATERIALIZED", dialect="postgresql")


def _unordered(day: Day) -> Number:
    """Return the share of rows with a lower probability for a longer horizon."""
    violations = [
        day.c[longer] < day.c[shorter] - 1e-6 for shorter, longer in pairwise(PROBABILITIES)
    ]
    return share(sa.or_(*violations))


def _mean(day: Day) -> Number:
    return sa.cast(sa.func.avg(day.c[MAIN]), sa.Double)


RULES: list[Rule] = [
    rule("customer_id_repeated", STOP, "share of rows of a customer who has another row",
         "customer_id", lambda t: t.repeated("customer_id"), sides=("high",)),
    rule("probability_unordered", STOP, "share of rows in which a longer horizon is less likely",
         " ".join(PROBABILITIES), _unordered, sides=("high",)),
    rule("probability_variety", STOP, f"different values of {MAIN} per row", MAIN,
         lambda t: t.variety(MAIN), scale=Scale.RATIO, slack=1.0, sides=("low",)),
    rule("probability_mean", STOP, f"mean of {MAIN}", MAIN, _mean, scale=Scale.RATIO, slack=0.5),
    rule("probability_p50", WARN, f"half of {MAIN} are below this", MAIN,
         lambda t: t.quantile(MAIN, 0.5), scale=Scale.RATIO, slack=0.5),
    rule("probability_p99", WARN, f"99 % of {MAIN} are below this", MAIN,
         lambda t: t.quantile(MAIN, 0.99), scale=Scale.RATIO, slack=0.5),
    rule("probability_drift", WARN, f"greatest distance between the distributions of {MAIN}", MAIN,
         lambda t: shift(t.c[MAIN], t.deciles(MAIN)), sides=("high",), slack=0.05),
    rule("reason_missing", WARN, "share of rows without a reason", "reason",
         lambda t: share(missing(t.c.reason)), sides=("high",), slack=0.1),
    *value_rules("band", WARN, slack=0.05),
    *value_rules("fallback_level", STOP, slack=0.05),
    *value_rules("channel", WARN, slack=0.05),
]  # fmt: skip


def _comparison(name: str, severity: Severity, meaning: str, **more: Any) -> Rule:  # noqa: ANN401
    return rule(name, severity, meaning, "", lambda _: sa.null(), **more)


COMPARISONS: list[Rule] = [
    _comparison("rows_of_last_day", STOP,
            "customers scored relative to the predictions of the last day before",
            scale=Scale.RATIO, slack=0.1),
    _comparison("hot_lost", STOP,
            "share of the customers in band hot of the last day who have no row",
            sides=("high",), slack=0.1),
    _comparison("mean_of_base_rate", STOP,
            "mean probability relative to the base rate the model was trained on",
            scale=Scale.RATIO, slack=0.5),
    _comparison("agreement_with_last_day", STOP,
            f"correlation of {MAIN} with that of the last day before, customer by customer",
            sides=("low",), slack=0.1),
    _comparison("same_as_last_day", STOP,
            f"share of customers whose {MAIN} is that of the last day before", sides=("high",),
            slack=0.1),
    _comparison("other_version", STOP, "share of rows of another model version than the pinned one",
            sides=("high",), slack=0.0),
]  # fmt: skip
"""Rules that compare the day with its model and with the last day; `prediction_profile`."""
