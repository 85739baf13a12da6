"""The rules of consent: customers with events who have a row, and those of them who say no."""

from functools import partial

import sqlalchemy as sa

from expectations.measures import Day, Number, share
from expectations.rule_factories import rule
from expectations.rules import Rule, Severity
from intent_tasks.tables import customers

SUITE = "customers"
"""Suite whose page and thresholds hold these rules too."""

PREFIX = "consent_"

STOP, WARN = Severity.STOP, Severity.WARN

COVERAGE = "consent_coverage"

REFUSED = {p: f"{PREFIX}{p}_refused" for p in ("personalisation", "marketing")}
"""Purpose → the rule of the share of customers who say no to it."""

OF_USUAL = "_of_usual"
"""Suffix of rules that compare a share with the days before."""

FIRST_DAY = f"{COVERAGE}_first_day"
"""Bounds the coverage of a day that no other day can be compared with."""

MEND = (
    "a customer without a row may not be predicted. Check that the table is loaded whole, that "
    "the role of INTENT_SHOP_URL sees its rows, and that ids are written as in shop.events; "
    "`intent check-source` shows how they differ"
)

MEND_FIRST_DAY = (
    "the table may be half loaded, and there is no earlier day to compare with. If it is whole "
    "and the other customers are guests, accept the share: write, with your share as low, "
    f'`{FIRST_DAY} = {{ severity = "stop", low = 0.3 }}` under [customers.rules] in contract.toml '
    "in INTENT_HOME (docs/contract.md)"
)

MEND_REFUSED = (
    "people who said no have lost it, or yes and no are exchanged, or the table has changed its "
    "meaning. Compare the table with a backup"
)


def relation(active: sa.FromClause, record: sa.FromClause) -> sa.CTE:
    """Return one row per customer with events, joined with the record of consent.

    Args:
        active: column customer_id, each once.
        record: columns customer_id, each once, row_count, and a boolean a purpose.
    """
    purposes = [record.c[name] for name in REFUSED if name in record.c]
    joined = active.outerjoin(record, record.c.customer_id == active.c.customer_id)
    has_row = record.c.customer_id.is_not(None).label("has_row")
    query = sa.select(has_row, record.c.row_count, *purposes).select_from(joined)
    return query.cte("rows").prefix_with("NOT MATERIALIZED", dialect="postgresql")


def _refused(purpose: str, day: Day) -> Number:
    return share(day.c[purpose].is_(sa.false()), day.c.has_row)


RULES: list[Rule] = [
    rule(COVERAGE, STOP, f"share of customers with events that have a row in {customers.fullname}",
         "has_row", lambda t: share(t.c.has_row), sides=("low",), advice=MEND),
    rule("consent_several_rows", WARN, "share of them with several rows; one no counts",
         "row_count", lambda t: share(t.c.row_count > 1, t.c.has_row), sides=("high",)),
    *(rule(name, WARN, f"share of customers with a row who do not say yes to {purpose}", purpose,
           partial(_refused, purpose)) for purpose, name in REFUSED.items()),
]  # fmt: skip


def _of_usual(name: str, advice: str) -> Rule:
    meaning = f"{name} relative to the median of the days before, less what chance explains"
    return rule(f"{name}{OF_USUAL}", STOP, meaning, "", lambda _: sa.null(), advice=advice)


COMPARISONS: list[Rule] = [
    rule(FIRST_DAY, STOP, f"{COVERAGE} of a day without an earlier one to compare with", "",
         lambda _: sa.null(), advice=MEND_FIRST_DAY),
    _of_usual(COVERAGE, MEND),
    *(_of_usual(name, MEND_REFUSED) for name in REFUSED.values()),
]  # fmt: skip
"""Rules that compare a day with the days before."""
