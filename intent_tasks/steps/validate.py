"""Check the events that arrived on a day against the contract, inside Postgres."""

from datetime import date

from expectations import events as expected
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import data_docs, postgres, source


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Check the day's arrivals.

    Raises:
        Refused: a critical expectation failed, or one could not be evaluated.
    """
    with postgres.reading(settings.shop_url) as connection:
        columns = source.columns(connection)
    start = settings.definition.day_start(as_of_date)
    end = settings.definition.day_end(as_of_date)
    result = data_docs.check(
        settings.home,
        settings.shop_url,
        postgres.literal(source.arrivals(columns, start, end)),
        expected.suite(columns),
        str(as_of_date),
        end,
    )
    if result.failed_critical:
        raise Refused(
            f"The events that arrived on {as_of_date} fail {', '.join(result.failed_critical)}. "
            f"Nothing is predicted from them. Look at {settings.home / result.page}, mend the "
            "load, and run the day again."
        )
    receipt = {
        "as_of_date": str(as_of_date),
        "expectations": result.rules,
        "failed": result.failed_warnings,
        "data_docs": result.page,
    }
    with postgres.writing(settings, "validate", as_of_date) as connection:
        postgres.record(connection, "validate", as_of_date, receipt)
    return receipt
