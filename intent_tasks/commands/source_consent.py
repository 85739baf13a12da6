"""The part of `intent check-source` about consent: whether and for whom it is recorded."""

from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from intent_tasks.settings import Settings
from intent_tasks.tables import customers, events

if TYPE_CHECKING:
    from intent_tasks.stores.privacy.consent_coverage import Coverage


class Report(Protocol):
    """The report that the lines go to."""

    def fine(self, text: str) -> None:
        """Add a line about something that is in order."""

    def costs(self, text: str) -> None:
        """Add a line about something optional that is missing, and its effect."""

    def problem(self, text: str) -> None:
        """Add a line about something that keeps the system from working."""


def check(report: Report, connection: sa.Connection, settings: Settings) -> None:
    """Add whether the shop records consent, and how many customers with events have a row."""
    from expectations import schema
    from intent_tasks.stores import simulated_shop
    from intent_tasks.stores.privacy import consent_coverage, consent_record

    if simulated_shop.is_unused(connection, customers):
        report.costs(
            f"{customers.fullname} was created here and never filled: the shop records no "
            "consent. All customers with events are predicted, and none can be on a list."
        )
    found = consent_record.types(connection)
    if problem := consent_record.missing(settings, found):
        report.problem(problem)
    columns = {name for name in consent_record.COLUMNS if name in found}
    columns -= {n for n in columns if schema.problem(customers.c[n], found[n])}
    if found and not any(name in found for name in consent_record.COLUMNS):
        report.costs(
            f"{customers.fullname} has none of {', '.join(consent_record.COLUMNS)}: the shop "
            "records no consent. All customers with events are predicted, and none can be on a "
            "list."
        )
    if columns and consent_coverage.is_there(connection):
        _check_coverage(report, settings, consent_coverage.coverage(connection, columns))


def _check_coverage(report: Report, settings: Settings, found: "Coverage") -> None:
    from expectations import consent
    from intent_tasks.stores.contracts import contract
    from intent_tasks.stores.privacy import consent_record

    if not found.customers:
        return
    bounds = contract.in_force(settings)[consent.SUITE].rules
    share = found.with_row / found.customers
    counted = (
        f"Of {found.customers:,} customers with events {found.with_row:,} have a row in "
        f"{customers.fullname}"
    )
    first_day = bounds[consent.FIRST_DAY]
    if not bounds[consent.COVERAGE].allows(share):
        report.problem(
            f"{counted}: no other customer may be predicted, and the contract refuses each day. "
            f"{_why(found)}"
        )
    elif not first_day.allows(share) and not consent_record.is_checked(settings):
        report.problem(
            f"{counted} ({share:.0%}); on a first day the contract allows {first_day}: "
            f"{consent.MEND_FIRST_DAY}. {_why(found)}".rstrip()
        )
    elif found.with_row < found.customers:
        report.costs(f"{counted}: the others are not predicted. {_why(found)}".rstrip())
    else:
        report.fine(f"{counted}.")
    if found.several:
        report.costs(
            f"{found.several:,} customers have several rows in {customers.fullname}: a no in any "
            "of them counts."
        )


def _why(found: "Coverage") -> str:
    """Return why customers probably have no row, judged by the form of the ids."""
    in_events, in_customers = found.shapes
    hint = ""
    if found.alike:
        difference = max(found.alike, key=lambda name: found.alike[name])
        hint = (
            f"{found.alike[difference]:,} more would have one if ids did not differ in "
            f"{difference}: write them the same way in a view."
        )
    if in_events is None:
        return hint
    if in_customers is None:
        return (
            f"The role of INTENT_SHOP_URL sees no row of {customers.fullname}. Is the table empty, "
            "still loading, or hidden by row security?"
        )
    looks = (
        f"Most ids look like {in_events!r} in {events.fullname} and like {in_customers!r} in "
        f"{customers.fullname} (a, A: letters, 9: digits)."
    )
    return f"{hint} {looks}" if hint else f"{looks} Is the table loaded completely?"
