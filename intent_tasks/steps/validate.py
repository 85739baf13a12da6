"""Check a day's events, and the products and customers of the shop, against the contract."""

from datetime import date

from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger
from intent_tasks.stores.contracts import checks
from intent_tasks.stores.privacy import consent_record


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Check the data that the day's predictions use.

    Raises:
        Refused: a rule that stops the day is broken or could not be checked (the message gives the
            rule, the observed value, the bounds and the page), or the shop no longer records
            consent.
        BadInput: the thresholds are invalid.
    """
    results, consent = checks.check_shop(settings, as_of_date)
    receipt = {
        "as_of_date": str(as_of_date),
        "rules": sum(len(result.profile.bounds) for result in results),
        "failed": [
            f"{result.profile.suite}.{name}" for result in results for name in result.broken
        ],
        "data_docs": results[0].page,
        consent_record.KEPT: consent,
    }
    return ledger.finish_step(settings, "validate", as_of_date, receipt)
