"""What a day's predictions must look like before anybody sees them."""

from datetime import date
from itertools import pairwise

import sqlalchemy as sa

from expectations.measures import Day, Number, distinct, missing, quantile, repeated, share, shift
from expectations.rules import Rule, Scale, Severity
from expectations.tables import rule, value_rules
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.tables import predictions

TABLE = predictions

STOP, WARN = Severity.STOP, Severity.WARN

MAIN = f"probability_{MAIN_HORIZON_DAYS}d"
PROBABILITIES = tuple(f"probability_{days}d" for days in HORIZONS_DAYS)

COMPARED = ("band", "fallback_level", "channel")
MEASURED = (MAIN,)


def relation(as_of_date: date) -> sa.CTE:
    """Return the champion's predictions of a day."""
    of_day = sa.and_(predictions.c.as_of_date == as_of_date, predictions.c.role == "champion")
    rows = sa.select(predictions).where(of_day).cte("rows")
    return rows.prefix_with("MATERIALIZED", dialect="postgresql")


def _unordered(day: Day) -> Number:
    """Return the share of rows in which a longer horizon is less likely than a shorter one."""
    slips = [day.c[longer] < day.c[shorter] - 1e-6 for shorter, longer in pairwise(PROBABILITIES)]
    return share(sa.or_(*slips))


def mean(day: Day) -> Number:
    """Return the mean probability of the main horizon."""
    return sa.cast(sa.func.avg(day.c[MAIN]), sa.Double)


RULES: list[Rule] = [
    rule("customer_id_repeated", STOP, "share of rows of a customer who has another one",
         "customer_id", lambda t: repeated(t.c.customer_id), sides=("high",)),
    rule("probability_unordered", STOP, "share of rows in which a longer horizon is less likely",
         " ".join(PROBABILITIES), _unordered, sides=("high",)),
    rule("probability_variety", STOP, f"different values of {MAIN} per row", MAIN,
         lambda t: distinct(t.c[MAIN]), scale=Scale.RATIO, slack=1.0, sides=("low",)),
    rule("probability_mean", STOP, f"mean of {MAIN}", MAIN, mean, scale=Scale.RATIO, slack=0.5),
    rule("probability_p50", WARN, f"half of {MAIN} are below this", MAIN,
         lambda t: quantile(t.c[MAIN], 0.5), scale=Scale.RATIO, slack=0.5),
    rule("probability_p99", WARN, f"99 % of {MAIN} are below this", MAIN,
         lambda t: quantile(t.c[MAIN], 0.99), scale=Scale.RATIO, slack=0.5),
    rule("probability_drift", WARN, f"greatest distance between the distributions of {MAIN}", MAIN,
         lambda t: shift(t.c[MAIN], t.deciles(MAIN)), sides=("high",), slack=0.05),
    rule("reason_missing", WARN, "share of rows without a reason", "reason",
         lambda t: share(missing(t.c.reason)), sides=("high",), slack=0.1),
    *value_rules("band", WARN, slack=0.05),
    *value_rules("fallback_level", STOP, slack=0.05),
    *value_rules("channel", WARN, slack=0.05),
]  # fmt: skip
