"""Work off the requests to be erased that the shop handed over."""

from datetime import date

import sqlalchemy as sa

from intent_tasks.errors import NothingToDo
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import ledger, postgres
from intent_tasks.stores.privacy import erasure
from intent_tasks.tables import erasure_requests

MOST_AT_ONCE = 1000
"""Customers that are erased in one pass over the files; it bounds what a pass holds in memory."""


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Erase everybody whose request is open; a customer nobody knows gets a tombstone as well.

    Raises:
        NothingToDo: no request is open.
    """
    asked = _open_requests(settings)
    if not asked:
        raise NothingToDo("No request in intent.erasure_requests is open.")
    erased = [
        one
        for first in range(0, len(asked), MOST_AT_ONCE)
        for one in erasure.erase(settings, asked[first : first + MOST_AT_ONCE])
    ]
    receipt = {
        "as_of_date": str(as_of_date),
        "customers": len(erased),
        "unknown": sum(not one.known for one in erased),
        "erased_before": sum(one.erased_before is not None for one in erased),
        "rows_removed": sum(sum(one.removed.values()) for one in erased),
        "model_versions": sorted({v for one in erased for v in one.model_versions}),
    }
    return ledger.finish_step(settings, "erase", as_of_date, receipt)


def _open_requests(settings: Settings) -> list[str]:
    """Return the customers of open requests, each once, oldest first; an empty id is nobody."""
    table = erasure_requests
    query = (
        sa.select(table.c.customer_id)
        .where(table.c.done_at.is_(None), table.c.customer_id != "")
        .order_by(table.c.request_id)
    )
    with postgres.reading(settings.pipeline_url) as connection:
        return list(dict.fromkeys(connection.scalars(query)))
