"""Erase the customers of open requests."""

from datetime import date

import sqlalchemy as sa

from intent_tasks.errors import NothingToDo
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, postgres
from intent_tasks.stores.privacy import erasure
from intent_tasks.tables import erasure_requests

BATCH_SIZE = 1000
"""Maximum number of customers that one pass over the files erases, which bounds its memory."""


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Erase the customers of open requests; an unknown customer gets a tombstone as well.

    Raises:
        NothingToDo: no request is open.
    """
    customer_ids = _open_requests(settings)
    if not customer_ids:
        raise NothingToDo("No request in intent.erasure_requests is open.")
    erased = [
        customer
        for first in range(0, len(customer_ids), BATCH_SIZE)
        for customer in erasure.erase(settings, customer_ids[first : first + BATCH_SIZE])
    ]
    receipt = {
        "as_of_date": str(as_of_date),
        "customers": len(erased),
        "unknown": sum(not customer.known for customer in erased),
        "erased_before": sum(customer.erased_before is not None for customer in erased),
        "rows_removed": sum(sum(customer.removed.values()) for customer in erased),
        "model_versions": sorted({v for customer in erased for v in customer.model_versions}),
    }
    return ledger.finish_step(settings, "erase", as_of_date, receipt)


def _open_requests(settings: Settings) -> list[str]:
    """Return the distinct customer_ids of open requests, oldest first, without empty ids."""
    table = erasure_requests
    query = (
        sa.select(table.c.customer_id)
        .where(table.c.done_at.is_(None), table.c.customer_id != "")
        .order_by(table.c.request_id)
    )
    with postgres.reading(settings.pipeline_url) as connection:
        return list(dict.fromkeys(connection.scalars(query)))
