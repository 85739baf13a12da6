"""Delete data that is older than its retention limit."""

from datetime import date

from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger
from intent_tasks.stores.privacy import retention


def run(settings: Settings, as_of_date: date, dry_run: bool = False) -> Receipt:
    """Delete, or with `dry_run` only count, data older than its limit at the end of a day.

    Raises:
        BadInput: a limit in INTENT_RETENTION_DAYS is not allowed.
    """
    if dry_run:
        counts = retention.old(settings, as_of_date)
        return {"as_of_date": str(as_of_date), "dry_run": True, "removed": counts}
    counts = retention.delete_old(settings, as_of_date)
    receipt = {"as_of_date": str(as_of_date), "dry_run": False, "removed": counts}
    return ledger.finish_step(settings, "retain", as_of_date, receipt)
