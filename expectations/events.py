"""The rules of the events that arrived on one shop day."""

from datetime import datetime
from functools import partial
from typing import Any

import sqlalchemy as sa

from expectations import schema
from expectations.measures import Day, Number, share, shift
from expectations.rule_factories import (
    garbled_rule,
    largest_rule,
    length_rule,
    missing_rules,
    rule,
    value_rules,
    variety_rule,
)
from expectations.rules import Rule, Scale, Severity
from intent_tasks.core.rules import RANGES
from intent_tasks.definition import EVENT_TYPES
from intent_tasks.tables import events, products

STOP, QUARANTINE, WARN = Severity.STOP, Severity.QUARANTINE, Severity.WARN

COMPARED = ("event_type", "currency", "channel", "device", "rating", "hour")
"""Columns with few values, whose shares are compared with the reference."""

SEVERITY_OF = {"rating": WARN, "device": WARN}
"""Column → severity of a change of its values; `stop` for all others."""

MEASURED = ("price",)
"""Columns whose distribution is compared with that of the reference."""

CONTENT = ("customer_id", "event_type", "product_id", "query_text", "occurred_at")
"""Columns in which two events do not agree by chance."""

MAX_CLOCK_SKEW_SECONDS = 60
"""Clocks differ, so an event may have a time up to this much later than its arrival."""


def relation(
    columns: schema.Types,
    arrived: sa.ColumnElement[Any],
    of_day: sa.ColumnElement[bool],
    start: datetime,
    end: datetime,
    time_zone: str,
    of_products: schema.Types,
) -> sa.CTE:
    """Return the rows of a day of arrival, with columns that the rules derive.

    Args:
        columns: that can be read → their types; optional columns may be missing.
        arrived: time of arrival of a row.
        of_day: whether a row arrived on the day.
        start: first instant of the day.
        end: first instant after it.
        time_zone: of the shop, for the hour of the day.
        of_products: columns of `shop.products` that can be read → their types.
    """
    existing = {
        c.name: schema.read_as(c, columns[c.name]) for c in events.columns if c.name in columns
    }
    picked: list[Number] = list(existing.values())
    picked.append((sa.literal(end) - arrived).label("time_to_end"))
    content = [existing[name].element for name in CONTENT if name in existing]
    picked.append(sa.func.hash_record_extended(sa.func.row(*content), 0, type_=sa.BigInteger)
                  .label("content"))  # fmt: skip
    # An event that is sent again arrives at another time.
    whole = [value.element for name, value in existing.items() if name != "ingested_at"]
    picked.append(sa.func.hash_record_extended(sa.func.row(*whole), 0, type_=sa.BigInteger)
                  .label("whole_row"))  # fmt: skip
    if "occurred_at" in columns:
        local = sa.func.timezone(time_zone, events.c.occurred_at)
        picked.append(sa.cast(sa.func.date_part("hour", local), sa.Integer).label("hour"))
        picked.append((events.c.occurred_at < start).label("is_late"))
    if {"occurred_at", "ingested_at"} <= set(columns):
        lag = _seconds(events.c.ingested_at - existing["occurred_at"].element)
        picked.append(lag.label("lag_seconds"))
    source: sa.FromClause = events
    priced = {"product_id", "price"}
    if priced <= set(of_products) and priced <= set(columns):
        listed = _listed(of_products)
        picked.append(listed.c.price.label("listed_price"))
        ratio = existing["price"].element / sa.func.nullif(listed.c.price, 0.0, type_=sa.Double)
        picked.append(ratio.label("price_ratio"))
        picked.append(listed.c.product_id.is_not(None).label("is_listed"))
        source = events.outerjoin(listed, listed.c.product_id == existing["product_id"].element)
    day = sa.select(*picked).select_from(source).where(of_day)
    return day.cte("day").prefix_with("NOT MATERIALIZED", dialect="postgresql")


def _listed(types: schema.Types) -> sa.Subquery:
    """Return price by product, each product once, so that the join adds no events."""
    product, price = (schema.read_as(products.c[n], types[n]) for n in ("product_id", "price"))
    return (
        sa.select(product, sa.func.min(price.element).label("price"))
        .group_by(product.element)
        .subquery("listed")
    )


def _seconds(interval: Number) -> Number:
    """Return the seconds of an interval as a float; `extract` would return a slow decimal."""
    return sa.func.date_part("epoch", interval, type_=sa.Double)


HIGH: dict[str, Any] = {"sides": ("high",)}
RATIO: dict[str, Any] = {"scale": Scale.RATIO, "slack": 0.1}


def _column_rules() -> list[Rule]:
    """Return the rules that several columns share."""
    ids, texts = ("customer_id", "session_id", "product_id"), ("query_text", "review_text")
    return [
        *missing_rules(events.columns),
        *(length_rule(name, STOP) for name in ("event_id", *ids)),
        *(length_rule(name, WARN) for name in texts),
        *(variety_rule(name, STOP, few=name != "session_id") for name in ids),
        *(variety_rule(name, WARN) for name in texts),
        largest_rule("customer_id", STOP),
        largest_rule("product_id", WARN),
        *(garbled_rule(name) for name in (*texts, "product_id")),
        *(_outside(name, low, high) for name, (low, high) in RANGES.items()),
    ]


def _outside(name: str, low: float, high: float) -> Rule:
    meaning = f"share of rows with {name} outside {low:g} to {high:g}"
    return rule(
        f"{name}_outside", QUARANTINE, meaning, name,
        lambda t: share(sa.not_(t.c[name].between(low, high))), **HIGH,
    )  # fmt: skip


def _type_share(kind: str) -> Rule:
    return rule(
        f"{kind}_share", STOP, f"share of events that are a {kind}", "event_type",
        lambda t: share(t.c.event_type == kind), scale=Scale.RATIO, slack=0.25,
    )  # fmt: skip


def _time_rules() -> list[Rule]:
    return [
        rule("ingested_at_hours_to_end", STOP, "hours from the last arrival to the end of the day",
              "", lambda t: _seconds(sa.func.min(t.c.time_to_end)) / 3600.0, slack=1.0, **HIGH),
        rule("occurred_at_late", WARN, "share of events of an earlier day", "occurred_at",
              lambda t: share(t.c.is_late), slack=0.03),
        rule("occurred_at_night", STOP, "share of events from 0 to 6 o'clock", "occurred_at",
              lambda t: share(t.c.hour < 6), scale=Scale.RATIO, slack=0.2),
        rule("occurred_at_future", STOP, f"share of events over {MAX_CLOCK_SKEW_SECONDS} s "
              "after they arrived", "occurred_at ingested_at",
              lambda t: share(t.c.lag_seconds < -MAX_CLOCK_SKEW_SECONDS), **HIGH),
        rule("ingested_at_lag_seconds", WARN, "median of the seconds until an event arrives",
              "occurred_at ingested_at", lambda t: t.quantile("lag_seconds", 0.5),
              scale=Scale.RATIO, slack=0.5),
    ]  # fmt: skip


def _price_rules() -> list[Rule]:
    quantiles = [
        rule(f"price_p{part}", STOP, f"{part} % of prices are below this", "price",
              partial(_price_quantile, part / 100), **RATIO)
        for part in (10, 50, 90)
    ]  # fmt: skip
    drifted = Rule(
        "price_drift", WARN, "greatest distance between the distributions of prices, 0 to 1",
        ("price",), lambda t: shift(t.c.price, t.deciles("price")),
        sides=("high",), slack=0.02,
    )  # fmt: skip
    listed = rule(
        "price_listed", STOP, "share of prices within a factor 2 of the product's listed price",
        "price listed_price", lambda t: share(_near_listed(t), t.c.price.is_not(None)),
        sides=("low",), slack=0.05,
    )  # fmt: skip
    usual = rule(
        "price_of_listed", STOP, "median of prices relative to the product's listed price",
        "price_ratio", lambda t: t.quantile("price_ratio", 0.5), scale=Scale.RATIO, slack=0.05,
    )  # fmt: skip
    listed_id = rule(
        "product_id_listed", WARN, "share of product_id that are in shop.products",
        "product_id listed_price", lambda t: share(t.c.is_listed, t.c.product_id.is_not(None)),
        sides=("low",),
    )  # fmt: skip
    mean = rule("quantity_mean", WARN, "mean of quantity", "quantity",
                 lambda t: sa.cast(sa.func.avg(t.c.quantity), sa.Double), **RATIO)  # fmt: skip
    return [*quantiles, drifted, listed, usual, listed_id, mean]


def _price_quantile(part: float, day: Day) -> Number:
    return day.quantile("price", part)


def _near_listed(day: Day) -> sa.ColumnElement[bool]:
    return day.c.price.between(day.c.listed_price * 0.5, day.c.listed_price * 2)


def _whole_row_rules() -> list[Rule]:
    unknown = rule(
        "event_type_unknown",
        QUARANTINE,
        "share of rows with an unknown event_type",
        "event_type",
        lambda t: share(sa.not_(t.c.event_type.in_(EVENT_TYPES))),
        **HIGH,
    )
    twice = rule(
        "event_id_repeated",
        QUARANTINE,
        "share of rows that repeat an event_id with other content",
        "event_id",
        lambda t: t.repeated_with_other("event_id", "whole_row"),
        **HIGH,
    )
    rated = rule(
        "rating_of_reviews", WARN, "share of reviews with a rating", "event_type rating",
        lambda t: share(t.c.rating.is_not(None), t.c.event_type == "review"), sides=("low",),
        slack=0.1,
    )  # fmt: skip
    return [unknown, twice, rated, rule(
        "row_repeated", STOP, "share of rows with the content of another, whatever their event_id",
        "customer_id event_type occurred_at", lambda t: t.repeated("content"), **HIGH,
    )]  # fmt: skip


TABLE = events

RULES: list[Rule] = [
    *_whole_row_rules(),
    *_column_rules(),
    *(_type_share(kind) for kind in EVENT_TYPES),
    *(each for name in COMPARED for each in value_rules(name, SEVERITY_OF.get(name, STOP))),
    *_time_rules(),
    *_price_rules(),
]
