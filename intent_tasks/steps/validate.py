"""Check a day's events, and the products and customers of the shop, against the contract."""

from collections.abc import Sequence
from datetime import date

from expectations.rules import Severity
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import contract, measured, postgres

REFUSES = (Severity.STOP, Severity.QUARANTINE)
"""A bound on rows set aside that is exceeded stops the day as well."""


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Check what the day is predicted from.

    Raises:
        Refused: a rule that stops the day is broken, or one could not be judged; names the rule,
            what was observed, what is allowed, and the page.
        BadInput: the thresholds cannot be used.
    """
    results = [contract.judge(settings, as_of_date, of) for of in _measured(settings, as_of_date)]
    refuse(settings, f"What arrived on {as_of_date}", results)
    receipt = {
        "as_of_date": str(as_of_date),
        "rules": sum(len(r.measured.bounds) for r in results),
        "failed": [f"{r.measured.suite}.{name}" for r in results for name in r.broken],
        "data_docs": results[0].page,
    }
    with postgres.writing(settings, "validate", as_of_date) as connection:
        postgres.record(connection, "validate", as_of_date, receipt)
    return receipt


def _measured(settings: Settings, as_of_date: date) -> list[contract.Measured]:
    limits = contract.in_force(settings)
    usual = measured.usual_rows(settings, as_of_date)
    with postgres.reading(settings.shop_url) as connection:
        found = [
            measured.day_of_events(
                connection, settings.definition, limits["events"], as_of_date, usual
            ),
            *(measured.table(connection, suite, limits[suite]) for suite in measured.TABLES),
        ]
    return [one for one in found if one is not None]


def refuse(settings: Settings, what: str, results: Sequence[contract.Result]) -> None:
    """Raise when rules are broken that stop a day.

    Raises:
        Refused: names each rule, what was observed, what is allowed, and the page.
    """
    broken = [r for r in results if r.names(*REFUSES)]
    if not broken:
        return
    said = "; ".join(r.said(r.names(*REFUSES)[:MOST_NAMED]) for r in broken)
    more = sum(len(r.names(*REFUSES)[MOST_NAMED:]) for r in broken)
    raise Refused(
        f"{what} breaks the contract: {said}{f'; and {more} more rules' if more else ''}. "
        "Nothing is predicted from it, and the predictions that are there stay. Look at "
        f"{settings.home / broken[0].page} and in intent.contract_results, mend the load and run "
        "the day again; where the shop itself has changed, change the bound (docs/contract.md)."
    )


MOST_NAMED = 5
"""Rules of one suite that a message names; all are on the page."""
