"""The rules of the shop's list of products, as it is today."""

from functools import partial

import sqlalchemy as sa

from expectations import schema
from expectations.measures import (
    Day,
    Number,
    garbled,
    mean_length,
    share,
)
from expectations.rule_factories import missing_rules, rule, value_rules
from expectations.rules import Rule, Scale, Severity
from intent_tasks.tables import products

TABLE = products

STOP, WARN = Severity.STOP, Severity.WARN

COMPARED = ("root_category", "in_stock")
MEASURED = ("price",)


def relation(columns: schema.Types) -> sa.CTE:
    """Return the products, with the first part of their category, of columns that can be read."""
    there = {c.name: schema.read_as(c, columns[c.name]) for c in TABLE.columns if c.name in columns}
    embedding = there.pop("image_embedding", None)
    picked = list(there.values())
    if "category_path" in columns:
        path = there["category_path"].element
        picked.append(sa.func.split_part(path, ".", 1).label("root_category"))
    if embedding is not None:
        picked.append(sa.func.cardinality(TABLE.c.image_embedding).label("embedding_size"))
    return sa.select(*picked).cte("rows").prefix_with("NOT MATERIALIZED", dialect="postgresql")


def _price_quantile(part: float, day: Day) -> Number:
    return day.quantile("price", part)


RULES: list[Rule] = [
    *missing_rules(c for c in TABLE.columns if c.name != "image_embedding"),
    rule("product_id_repeated", STOP, "share of rows that repeat a product_id", "product_id",
         lambda t: t.repeated("product_id"), sides=("high",)),
    rule("product_id_length", STOP, "mean number of characters of product_id", "product_id",
         lambda t: mean_length(t.c.product_id), scale=Scale.RATIO, slack=0.1),
    rule("title_length", WARN, "mean number of characters of title", "title",
         lambda t: mean_length(t.c.title), scale=Scale.RATIO, slack=0.2),
    rule("title_garbled", WARN, "share of titles read in a wrong encoding", "title",
         lambda t: garbled(t.c.title), sides=("high",)),
    rule("price_negative", WARN, "share of prices below 0", "price",
         lambda t: share(t.c.price < 0), sides=("high",)),
    *(rule(f"price_p{part}", STOP, f"{part} % of prices are below this", "price",
           partial(_price_quantile, part / 100), scale=Scale.RATIO, slack=0.5)
      for part in (10, 50, 90)),
    rule("brand_variety", WARN, "different brands per product that has one", "brand",
         lambda t: t.groups("brand").variety(), scale=Scale.RATIO, slack=0.5),
    *value_rules("root_category", WARN, slack=0.1),
    *value_rules("in_stock", WARN, slack=0.2),
    rule("image_embedding_size", STOP, "numbers in the embedding of a picture", "embedding_size",
         lambda t: sa.cast(sa.func.avg(t.c.embedding_size), sa.Double), scale=Scale.RATIO,
         slack=0.01),
]  # fmt: skip
