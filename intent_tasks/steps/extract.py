"""Copy the events that arrived on a day, and on all missing days before it, to snapshots."""

from datetime import date

from intent_tasks.errors import NothingToDo, Refused, TemporaryFailure
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, snapshots
from intent_tasks.stores.extracting import copy_days


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Complete the snapshots up to a day, as far back as history is read.

    Raises:
        Refused: no event arrived on that day, and the setting empty_day is `stop`; or too many
            rows of a day cannot be used.
        NothingToDo: no event arrived, and it is `skip`.
        TemporaryFailure: rows are missing between warehouse and snapshot.
    """
    first = settings.definition.first_history_day(as_of_date)
    written, repaired = copy_days.complete_snapshots(settings, first, as_of_date, all_rows=True)
    with ledger.transaction(settings, "extract", as_of_date) as connection:
        day = ledger.read_receipt(connection, snapshots.STEP, as_of_date)
        if day is None:
            raise TemporaryFailure(f"The snapshot of {as_of_date} vanished; run the day again.")
        if day["rows_in_warehouse"] == 0:
            raise _empty(settings, as_of_date)
        receipt = day | {"days_written": len(written), "days_repaired": len(repaired)}
        ledger.record(connection, "extract", as_of_date, receipt)
    return receipt


def _empty(settings: Settings, day: date) -> Refused | NothingToDo:
    said = f"No event arrived on {day}."
    if settings.empty_day == "skip":
        return NothingToDo(f"{said} INTENT_EMPTY_DAY=skip: nothing is predicted.")
    return Refused(
        f"{said} Is the load broken? Mend it and run the day again; where a closed shop is "
        "normal, set INTENT_EMPTY_DAY=skip."
    )
