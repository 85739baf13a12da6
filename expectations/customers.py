"""The rules of the shop's list of customers, as it is today."""

import sqlalchemy as sa

from expectations import schema
from expectations.measures import mean_length, share
from expectations.rule_factories import missing_rules, rule, value_rules
from expectations.rules import Rule, Scale, Severity
from intent_tasks.tables import customers

TABLE = customers

STOP, WARN = Severity.STOP, Severity.WARN

COMPARED = ("country", "consent_personalisation", "consent_marketing", "suppressed")
MEASURED: tuple[str, ...] = ()


def relation(columns: schema.Types) -> sa.CTE:
    """Return the customers, of the columns that can be read."""
    existing = [c for c in TABLE.columns if c.name in columns]
    picked: list[sa.ColumnElement[object]] = [schema.read_as(c, columns[c.name]) for c in existing]
    if "created_at" in columns:
        seconds = sa.extract("epoch", TABLE.c.created_at)
        picked.append(sa.cast(seconds, sa.Double).label("created_seconds"))
    return sa.select(*picked).cte("rows").prefix_with("NOT MATERIALIZED", dialect="postgresql")


RULES: list[Rule] = [
    *missing_rules(TABLE.columns),
    rule("customer_id_repeated", STOP, "share of rows that repeat a customer_id", "customer_id",
         lambda t: t.repeated("customer_id"), sides=("high",)),
    rule("customer_id_length", STOP, "mean number of characters of customer_id", "customer_id",
         lambda t: mean_length(t.c.customer_id), scale=Scale.RATIO, slack=0.1),
    rule("created_at_early", WARN, "share of accounts made before 1990", "created_seconds",
         lambda t: share(t.c.created_seconds < 631_152_000), sides=("high",)),
    rule("created_at_median", WARN, "median of the time accounts were made, seconds since 1970",
         "created_seconds", lambda t: t.quantile("created_seconds", 0.5), scale=Scale.RATIO,
         slack=0.1),
    *value_rules("country", WARN, slack=0.1),
    # Consent must not change over night.
    *value_rules("consent_personalisation", STOP, slack=0.1),
    *value_rules("consent_marketing", STOP, slack=0.1),
    *value_rules("suppressed", STOP, slack=0.1),
    rule("suppressed_share", STOP, "share of customers who must not be contacted", "suppressed",
         lambda t: share(t.c.suppressed.is_(True)), scale=Scale.RATIO, slack=0.5),
]  # fmt: skip
