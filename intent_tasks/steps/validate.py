"""Check a day's events, and the products and customers of the shop, against the contract."""

from datetime import date

from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger
from intent_tasks.stores.contracts import checks
from intent_tasks.stores.privacy import consent_record


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Check what the day is predicted from.

    Raises:
        Refused: a rule that stops the day is broken, or one could not be judged; names the rule,
            what was observed, what is allowed, and the page; or the shop recorded consent before
            and does not any more.
        BadInput: the thresholds cannot be used.
    """
    results, consent = checks.check_shop(settings, as_of_date)
    receipt = {
        "as_of_date": str(as_of_date),
        "rules": sum(len(r.profile.bounds) for r in results),
        "failed": [f"{r.profile.suite}.{name}" for r in results for name in r.broken],
        "data_docs": results[0].page,
        consent_record.KEPT: consent,
    }
    return ledger.finish_step(settings, "validate", as_of_date, receipt)
