"""The record of consent: its columns, and its state when the contract was last checked.

When a day passes the contract, its receipt keeps the columns, and how many customers had a row and
said yes. Everything that reads consent later compares with it. A table that is emptied, half
loaded, hidden or replaced must not look like a shop in which nobody says no.
"""

from datetime import date
from typing import Any, NamedTuple

import sqlalchemy as sa

from expectations import schema
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres, simulated_shop
from intent_tasks.stores.privacy import consent_names
from intent_tasks.tables import customers, runs

PURPOSES = ("personalisation", "marketing")
"""Purposes that a customer can agree to; each has a column `consent_…`."""

SUPPRESSED = "suppressed"

COLUMNS = consent_names.COLUMNS
"""A `shop.customers` with any of them records consent; a customer without a row is no yes."""

STEP, KEPT = "validate", "consent"
"""Step whose receipt keeps the record, and its key there."""

MOST_LOST = 0.25
"""Share of the customers with a row, of the yes and of the no that may be missing since the
contract was checked."""

FEW = 5
"""So many may be missing whatever the share: single customers leave or change their minds."""


def columns_of(settings: Settings) -> set[str]:
    """Return the columns of consent in `shop.customers`; empty: the shop records no consent.

    Raises:
        Refused: a column is not a boolean, is missing, or has another name.
    """
    with postgres.reading(settings.shop_url) as connection:
        found = types(connection)
    if found and "customer_id" not in found:
        raise Refused(LACKS_ID)
    for name in ("customer_id", *COLUMNS):
        if name in found and (wrong := schema.problem(customers.c[name], found[name])):
            raise Refused(f"{wrong} Else somebody is predicted or listed by a misunderstanding.")
    if problem := missing(settings, found):
        raise Refused(problem)
    return {name for name in COLUMNS if name in found}


def types(connection: sa.Connection) -> schema.Types:
    """Return the type of each column of `shop.customers`; none where there is no such table.

    A table that `intent collect` made counts once it has been filled.
    """
    if simulated_shop.is_unused(connection, customers):
        return {}
    return schema.types(connection, customers) or {}


def customer_id(connection: sa.Connection, table: sa.Table) -> sa.Label[str]:
    """Return the ids of a table of the shop as the extract reads them, whatever their type."""
    found = schema.types(connection, table) or {}
    return schema.read_as(table.c.customer_id, found.get("customer_id", sa.Text()))


def missing(settings: Settings, found: schema.Types) -> str | None:
    """Return the problem with missing columns; None: they may be missing."""
    if settings.consent_not_recorded:
        return None
    absent = sorted(_columns_before(settings) - set(found))
    confirm = (
        "Bring it back; where the shop does not record it any more, confirm that with "
        "INTENT_CONSENT_NOT_RECORDED=true: docs/privacy.md."
    )
    if absent:
        return (
            f"{customers.fullname} has no {', '.join(absent)}, which it had on a day before: who "
            f"said no is not known any more. {confirm}"
        )
    accepted = settings.no_consent_columns
    others = {name: type_ for name, type_ in found.items() if name not in customers.c}
    ours = {name for name in COLUMNS if name in found}
    similar = consent_names.find_similar(others, ours, accepted)
    booleans = [] if ours else [name for name in _booleans(others) if name not in accepted]
    if not (unclear := [*similar, *(name for name in booleans if name not in similar)]):
        return None
    looks = "looks like consent" if similar else "is boolean, so perhaps consent"
    return (
        f"{customers.fullname}.{unclear[0]} {looks}, but the names that count are "
        f"{', '.join(COLUMNS)}. Rename the column in a view; where it is something else, set "
        f"{consent_names.accept(unclear, accepted)}: docs/privacy.md."
    )


def _booleans(found: schema.Types) -> list[str]:
    return [name for name in sorted(found) if schema.kind(found[name]) == "boolean"]


def says_yes(purpose: str, columns: set[str]) -> sa.ColumnElement[bool]:
    """Return whether a row is a yes. Without a column of the purpose, all but suppressed are."""
    name = f"consent_{purpose}"
    agreed = customers.c[name].is_(sa.true()) if name in columns else sa.true()
    suppressed = customers.c[SUPPRESSED].is_(sa.true()) if SUPPRESSED in columns else sa.false()
    return sa.and_(agreed, sa.not_(suppressed))


def by_customer(connection: sa.Connection, columns: set[str]) -> sa.CTE:
    """Return one row per customer of `shop.customers`; one no among several rows counts."""
    name = customer_id(connection, customers)
    answers = [sa.func.bool_and(says_yes(p, columns)).label(p) for p in _purposes(columns)]
    return (
        sa.select(name, sa.func.count().label("row_count"), *answers)
        .where(customers.c.customer_id.is_not(None))
        .group_by(name)
        .cte("record")
    )


def _purposes(columns: set[str]) -> list[str]:
    """Return the purposes that the columns record."""
    return [p for p in PURPOSES if p == "personalisation" or f"consent_{p}" in columns]


def counted(connection: sa.Connection, columns: set[str]) -> dict[str, int]:
    """Count the customers with a row (`rows`), and those who say yes, by purpose."""
    record = by_customer(connection, columns)
    answers = [sa.func.count().filter(record.c[p]).label(p) for p in _purposes(columns)]
    query = sa.select(sa.func.count().label("rows"), *answers).select_from(record)
    return dict(connection.execute(query).mappings().one())


LACKS_ID = (
    f"{customers.fullname} has no column customer_id, so consent cannot be assigned to customers. "
    "Name the id of the customer so in a view."
)


class LastCheck(NamedTuple):
    """The record as the newest check of the contract kept it, and its shop day."""

    as_of_date: date
    record: dict[str, Any]


def require_kept(settings: Settings, purpose: str, rows: int, yes: int) -> None:
    """Check that the record is still like the one that the contract was last checked with.

    Args:
        settings: of this installation.
        purpose: that is read.
        rows: customers with a row at this moment.
        yes: those of them who say yes.

    Raises:
        Refused: many rows, many no or many yes are missing. A record whose yes and no are exchanged
            has as many rows as before.
    """
    last = _last_check(settings)
    if last is None or purpose not in last.record:
        return
    rows_then, yes_then = last.record["rows"], last.record[purpose]
    for then, now, what in (
        (rows_then, rows, "customers had a row"),
        (rows_then - yes_then, rows - yes, f"customers did not say yes to {purpose}"),
        (yes_then, yes, f"customers said yes to {purpose}"),
    ):
        if not rows or not _is_kept(then, now):
            raise Refused(
                f"{customers.fullname} has changed since the contract was checked for "
                f"{last.as_of_date}: {then:,} {what} then, {now:,} now. Is it being loaded, or "
                "hidden from the role of INTENT_SHOP_URL? Wait until it is whole; where it is "
                f"right, run `intent step validate --as-of-date {last.as_of_date}` again first."
            )


def require_rows(count: int, with_row: int, what: str) -> None:
    """Check that most customers who were predicted still have a row.

    Args:
        count: customers who were predicted.
        with_row: those of them who have a row now.
        what: participle for the message, such as `predicted for 2026-06-30`.

    Raises:
        Refused: too many have no row.
    """
    if count and (not with_row or not _is_kept(count, with_row)):
        raise Refused(
            f"Of {count:,} customers {what} {with_row:,} have a row in {customers.fullname} now: "
            "who said no is not known. Is it being loaded, or are its ids written otherwise than "
            "in shop.events? `intent check-source` tells. Nothing was changed."
        )


def _is_kept(then: int, now: int) -> bool:
    """Return whether a number has fallen by no more than is allowed."""
    return then - now <= max(MOST_LOST * then, min(FEW, then / 2))


def _last_check(settings: Settings) -> LastCheck | None:
    query = (
        sa.select(runs.c.as_of_date, runs.c.receipt[KEPT])
        .where(runs.c.step == STEP)
        .order_by(runs.c.finished_at.desc())
        .limit(1)
    )
    with postgres.reading(settings.pipeline_url) as connection:
        found = connection.execute(query).one_or_none()
    return LastCheck(*found) if found and found[1] else None


def is_checked(settings: Settings) -> bool:
    """Return whether a day with a record of consent has passed the contract."""
    return bool(_columns_before(settings))


def _columns_before(settings: Settings) -> set[str]:
    """Return the columns of consent that any earlier day had."""
    names = sa.func.jsonb_array_elements_text(runs.c.receipt[KEPT]["columns"])
    recorded = sa.func.jsonb_typeof(runs.c.receipt[KEPT]) == "object"
    query = sa.select(names).where(runs.c.step == STEP, recorded).distinct()
    with postgres.reading(settings.pipeline_url) as connection:
        return set(connection.scalars(query))
