"""Coverage of consent: customers with events who have a row, and why others have none."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from intent_tasks.stores import id_spelling
from intent_tasks.stores.privacy import consent_record
from intent_tasks.tables import customers, events

Text = sa.ColumnElement[str]

BLANKS = " \t\r\n\u00a0"


def _without_zeros(value: Text) -> Text:
    return sa.func.regexp_replace(value, r"^(\D*)0+(\d)", r"\1\2")


def _number(value: Text) -> Text:
    return _without_zeros(sa.func.nullif(sa.func.regexp_replace(value, r"\D", "", "g"), ""))


NORMALISATIONS: dict[str, Callable[[Text], Text]] = {
    "case": sa.func.lower,
    "blanks around them": lambda value: sa.func.btrim(value, BLANKS),
    "leading zeros": _without_zeros,
    "decimals": id_spelling.without_decimals,
    "characters that are not seen, or accents written otherwise": lambda value: (
        id_spelling.without_marks(id_spelling.composed(value))
    ),
    "case, blanks and leading zeros": id_spelling.similar_id,
    "what stands around the number": _number,
}
"""How ids of two tables may differ → the function that removes the difference, simplest first."""

MOST_IDS = 100_000
"""Most customers whose ids are compared under each normalisation."""


@dataclass(frozen=True)
class Coverage:
    """Numbers of customers with events, by their rows in `shop.customers`.

    Args:
        customers: with events.
        with_row: those of them who have a row.
        several: those of them who have several.
        alike: how ids differ → customers who would have a row without that difference.
        shapes: pattern of most ids in `shop.events` and in `shop.customers`, where fewer than half
            have a row.
    """

    customers: int
    with_row: int
    several: int
    alike: Mapping[str, int]
    shapes: tuple[str | None, str | None]


def coverage(connection: sa.Connection, columns: set[str]) -> Coverage:
    """Compare the ids of all customers with events with those of `shop.customers`.

    Args:
        connection: that may read the shop.
        columns: of consent, that `shop.customers` has.
    """
    customer_id = consent_record.customer_id(connection, events)
    active = sa.select(customer_id).where(customer_id != "").distinct().cte("active")
    record = consent_record.by_customer(connection, columns)
    joined = active.outerjoin(record, record.c.customer_id == active.c.customer_id)
    count, with_row, several = connection.execute(
        sa.select(
            sa.func.count(),
            sa.func.count(record.c.customer_id),
            sa.func.count().filter(record.c.row_count > 1),
        ).select_from(joined)
    ).one()
    if with_row == count:
        return Coverage(count, with_row, several, {}, (None, None))
    without_row = sa.select(active.c.customer_id).select_from(joined)
    without_row = without_row.where(record.c.customer_id.is_(None)).order_by(active.c.customer_id)
    alike = _alike(connection, without_row.limit(MOST_IDS).cte("without_row"), record)
    if 2 * with_row >= count:
        return Coverage(count, with_row, several, alike, (None, None))
    shapes = (_shape(connection, active), _shape(connection, record))
    return Coverage(count, with_row, several, alike, shapes)


def _alike(connection: sa.Connection, without_row: sa.CTE, record: sa.CTE) -> dict[str, int]:
    """Count the ids without a row that equal the id of a row under each normalisation."""
    counts = [
        sa.select(sa.func.count())
        .where(normalise(without_row.c.customer_id).in_(sa.select(normalise(record.c.customer_id))))
        .scalar_subquery()
        .label(f"count {n}")
        for n, normalise in enumerate(NORMALISATIONS.values())
    ]
    found = connection.execute(sa.select(*counts)).one()
    return {name: count for name, count in zip(NORMALISATIONS, found, strict=True) if count}


def _shape(connection: sa.Connection, ids: sa.CTE) -> str | None:
    """Return the pattern of most ids, which shows none: letters are a or A, digits 9."""
    shape: Text = ids.c.customer_id
    for letters, sign in (("[[:lower:]]+", "a"), ("[[:upper:]]+", "A"), ("[[:digit:]]+", "9")):
        shape = sa.func.regexp_replace(shape, letters, sign, "g")
    some = sa.select(sa.func.left(shape, 40).label("shape")).limit(MOST_IDS).subquery()
    most = sa.select(some.c.shape).group_by(some.c.shape)
    query = most.order_by(sa.func.count().desc(), some.c.shape).limit(1)
    found: str | None = connection.scalar(query)
    return found


def is_there(connection: sa.Connection) -> bool:
    """Return whether `shop.customers` can be joined: it has ids and may be read."""
    if customers.c.customer_id.name not in consent_record.types(connection):
        return False
    allowed = sa.select(
        sa.func.has_schema_privilege(customers.schema, "USAGE"),
        sa.func.has_table_privilege(customers.fullname, "SELECT"),
    )
    return all(connection.execute(allowed).one())
