"""Corruptions of a day of the shop, as SQL, of kinds that happen when events are loaded.

Each starts from clean copies in a schema of its own: `events` of the day (ingested from :start up
to :end), `before` (the day before), `products` and `customers`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Corruption:
    """A corruption, and the SQL that applies it to the copies; names without a schema."""

    name: str
    sql: tuple[str, ...]

    def statements(self, place: str) -> list[str]:
        """Return everything to execute: clean copies first, then the corruption."""
        of_day = "WHERE ingested_at >= {0} AND ingested_at < {1}"
        today = of_day.format(":start", ":end")
        before = of_day.format("cast(:start AS timestamptz) - interval '1 day'", ":start")
        return [
            f"DROP SCHEMA IF EXISTS {place} CASCADE",
            f"CREATE SCHEMA {place}",
            f"CREATE TABLE {place}.events AS SELECT * FROM shop.events {today}",
            f"CREATE TABLE {place}.before AS SELECT * FROM shop.events {before}",
            f"CREATE TABLE {place}.products AS SELECT * FROM shop.products",
            f"CREATE TABLE {place}.customers AS SELECT * FROM shop.customers",
            f"SET LOCAL search_path = {place}",
            *self.sql,
        ]


def _set(name: str, change: str, where: str = "true", table: str = "events") -> Corruption:
    return Corruption(name, (f"UPDATE {table} SET {change} WHERE {where}",))


def _lose(name: str, where: str, table: str = "events") -> Corruption:
    return Corruption(name, (f"DELETE FROM {table} WHERE {where}",))


def _alter(name: str, *changes: str, table: str = "events") -> Corruption:
    return Corruption(name, tuple(f"ALTER TABLE {table} {change}" for change in changes))


SOME = "hashtextextended(event_id, 1) % 10 = 0"
"""About a fifth of the rows: remainders are of both signs."""

HALF = "hashtextextended(event_id, 1) % 2 = 0"

CORRUPTIONS = (
    *(
        _set(f"{column} empty in a tenth of its rows", f"{column} = NULL",
             f"{column} IS NOT NULL AND abs(hashtextextended(event_id, 1) % 10) = 0")
        for column in ("event_id", "customer_id", "session_id", "event_type", "product_id", "price",
                       "channel", "device", "occurred_at")
    ),
    *(
        _set(f"{column} empty everywhere", f"{column} = NULL")
        for column in ("quantity", "currency", "query_text", "review_text", "rating")
    ),
    _set("prices × 100 (cents)", "price = price * 100"),
    _set("prices × 100 in a fifth of the rows", "price = price * 100", SOME),
    _set("prices / 1000", "price = price / 1000"),
    _set("prices in another currency, × 1.17", "price = price * 1.17"),
    _set("prices with VAT twice, × 1.19, and currency still EUR", "price = price * 1.19"),
    _set("currency changed to USD in a tenth of the rows", "currency = 'USD'",
         "abs(hashtextextended(event_id, 1) % 10) = 0"),
    _set("currency changed everywhere", "currency = 'USD'"),
    _set("prices negative", "price = -price"),
    _set("prices constant", "price = 9.99", "price IS NOT NULL"),
    _set("prices 0 in a fifth of the rows", "price = 0", f"price IS NOT NULL AND {SOME}"),
    _set("quantities × 100", "quantity = quantity * 100"),
    _set("price and quantity swapped", "price = quantity, quantity = round(price)"),
    _set("customer_id and session_id swapped",
         "customer_id = session_id, session_id = customer_id"),
    _set("customer_id and product_id swapped", "customer_id = product_id, product_id = customer_id",
         "product_id IS NOT NULL"),
    _set("channel and device swapped", "channel = device, device = channel"),
    _set("query and review swapped", "query_text = review_text, review_text = query_text"),
    _set("occurred_at and ingested_at swapped",
         "occurred_at = ingested_at, ingested_at = occurred_at"),
    Corruption("day delivered twice", ("INSERT INTO events SELECT * FROM events",)),
    Corruption("day delivered twice with new ids", (
        "INSERT INTO events SELECT overlay(event_id PLACING 'f' FROM 1 FOR 1), customer_id, "
        "session_id, event_type, product_id, quantity, price, currency, query_text, review_text, "
        "rating, channel, device, occurred_at, ingested_at FROM events",
    )),
    Corruption("day before delivered again", (
        "UPDATE before SET ingested_at = ingested_at + interval '1 day'",
        "INSERT INTO events SELECT * FROM before",
    )),
    Corruption("day before instead of the day", (
        "DELETE FROM events", "UPDATE before SET ingested_at = ingested_at + interval '1 day'",
        "INSERT INTO events SELECT * FROM before",
    )),
    _lose("day cut at 18 o'clock", "ingested_at >= cast(:start AS timestamptz) + interval '18 h'"),
    _lose("day starts at 6 o'clock and ends at 20 o'clock",
          "extract(hour FROM occurred_at AT TIME ZONE 'UTC') NOT BETWEEN 6 AND 19"),
    _lose("an hour lost at noon", "extract(hour FROM occurred_at AT TIME ZONE 'UTC') = 12"),
    _lose("half of the events lost", HALF),
    _lose("all events lost", "true"),
    _lose("no events of half of the customers", "hashtextextended(customer_id, 1) % 2 = 0"),
    *(_lose(f"all {kind} events lost", f"event_type = '{kind}'")
      for kind in ("view", "search", "cart", "purchase", "review", "refund")),
    _set("event types in capitals", "event_type = upper(event_type)"),
    _set("clicks sent as views", "event_type = 'view'", "event_type = 'click'"),
    _set("a new event type, 3 %", "event_type = 'wishlist'",
         "event_type = 'view' AND abs(hashtextextended(event_id, 1) % 25) = 0"),
    _lose("channel e-mail lost", "channel = 'e-mail'"),
    _lose("channel social lost", "channel = 'social'"),
    _set("a new channel, 3 %", "channel = 'television'",
         "abs(hashtextextended(event_id, 1) % 33) = 0"),
    _set("channel constant", "channel = 'direct'"),
    _set("device constant", "device = 'desktop'"),
    _set("device in capitals", "device = upper(device)"),
    _set("times two hours late (both)", "occurred_at = occurred_at + interval '2 h'"),
    _set("times two hours early", "occurred_at = occurred_at - interval '2 h'"),
    _set("times eight hours early", "occurred_at = occurred_at - interval '8 h'"),
    _set("clock one hour late", "occurred_at = occurred_at + interval '1 h'"),
    _set("clock five minutes early", "occurred_at = occurred_at - interval '5 min'"),
    _set("times cut to the day", "occurred_at = date_trunc('day', occurred_at)"),
    _set("times of 1970 in a tenth of the rows", "occurred_at = 'epoch'",
         "abs(hashtextextended(event_id, 1) % 10) = 0"),
    _set("times a year ahead in a fifth of the rows", "occurred_at = occurred_at + interval '1 y'",
         SOME),
    _set("customer_id cut to 6 characters", "customer_id = left(customer_id, 6)"),
    _set("product_id cut to 4 characters", "product_id = left(product_id, 4)"),
    _set("event_id cut to 12 characters", "event_id = left(event_id, 12)"),
    _set("product_id with another prefix", "product_id = 'sku' || product_id"),
    _set("customer_id constant", "customer_id = 'guest'"),
    _set("customer_id constant in a fifth of the rows", "customer_id = 'guest'", SOME),
    _set("session_id constant", "session_id = 's0000001-000001'"),
    _set("a new session for each event", "session_id = 's' || right(event_id, 14)"),
    _set("product_id constant", "product_id = 'p000001'", "product_id IS NOT NULL"),
    _set("searches read in a wrong encoding", "query_text = replace(query_text, 'e', 'Ã©')"),
    _set("searches with lost characters", "query_text = replace(query_text, 'o', chr(65533))"),
    _set("search text constant", "query_text = 'test'", "query_text IS NOT NULL"),
    _set("ratings of 0 to 100", "rating = rating * 20"),
    _set("ratings constant", "rating = 5", "rating IS NOT NULL"),
    _alter("price renamed", "RENAME price TO amount"),
    _alter("customer_id renamed", "RENAME customer_id TO client_id"),
    _alter("channel removed", "DROP COLUMN channel"),
    _alter("price as text", "ALTER price TYPE text"),
    _alter("occurred_at without zone", "ALTER occurred_at TYPE timestamp"),
    _alter("customer_id as a number",
           "ALTER customer_id TYPE bigint USING substr(customer_id, 2)::bigint"),
    _set("list prices × 100", "price = price * 100", table="products"),
    _lose("three quarters of products lost",
          "hashtextextended(product_id, 1) % 4 <> 0", "products"),
    _set("categories lost", "category_path = NULL", table="products"),
    _alter("products without brand", "DROP COLUMN brand", table="products"),
    Corruption("products listed twice", ("INSERT INTO products SELECT * FROM products",)),
    _set("consent to all of everybody", "consent_personalisation = true, consent_marketing = true",
         table="customers"),
    _set("consent lost", "consent_personalisation = NULL", table="customers"),
    _set("suppression lost", "suppressed = false", table="customers"),
    _lose("two thirds of customers lost", "hashtextextended(customer_id, 1) % 3 <> 0", "customers"),
    _set("country constant", "country = 'DE'", table="customers"),
)  # fmt: skip
"""All corruptions of the shop."""
