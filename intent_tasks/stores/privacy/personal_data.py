"""The erasure register: every place that can hold a customer, and how long each may.

Erasing and retention work through these lists and no others. A test fails when a table has a
column of customers, or a run leaves a file, that is not in them.
"""

from dataclasses import dataclass

import sqlalchemy as sa

from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings
from intent_tasks.tables import (
    customer_keys,
    customers,
    erasure_requests,
    erasures,
    events,
    outcomes,
    predictions,
    quarantine,
)


@dataclass(frozen=True)
class Table:
    """Rows about customers.

    Args:
        table: of schema `intent`.
        dated_by: column that says how old a row is; None: rows go when nothing else of the
            customer is left, or never.
        keep_days: how long a row is kept, unless INTENT_RETENTION_DAYS says otherwise.
    """

    table: sa.Table
    dated_by: str | None = None
    keep_days: int | None = None

    @property
    def name(self) -> str:
        """Name in INTENT_RETENTION_DAYS and in what is reported."""
        return str(self.table.name)


@dataclass(frozen=True)
class Folder:
    """Files about customers, below INTENT_HOME.

    Args:
        name: of the folder.
        keep_days: how long a file is kept, unless INTENT_RETENTION_DAYS says otherwise.
    """

    name: str
    keep_days: int


TABLES = (
    Table(predictions, "as_of_date", 400),
    Table(outcomes, "as_of_date", 400),
    Table(quarantine, "found_at", 90),
    Table(customer_keys),
)
"""Cleared of an erased customer, in this order: the pair of id and key goes last."""

TOMBSTONES = (Table(erasures), Table(erasure_requests, "done_at", 400))
"""What stays of an erased customer: a keyed hash, so that they are not collected again."""

FOLDERS = (
    Folder("snapshots", 400),
    Folder("scores", 30),
    Folder("training", 400),
    Folder("exports", 30),
)

LOGS = ("logs", "airflow/logs")
"""Below INTENT_HOME. No program of ours writes a customer there; an erasure looks all the same."""

OWNED_SHOP_TABLES = (events, customers)
"""Of schema `shop`; ours to clear only where INTENT_SHOP_OWNER_URL is set: we filled them."""

WITHOUT_CUSTOMERS = {
    "data_docs": "pages of the contract: counts, no row values",
    "validation_results": "the same as JSON",
    "validation_results.lock": "one check at a time",
    "pretraining": "weights, and vocabularies and lists of products",
    "models": "copies of model versions: weights and vocabularies of products",
    "mlflow": "runs and versions: weights, metrics of all customers together",
    "logs": "messages with days, counts and names of files; an erasure looks there all the same",
    "airflow": "state of Airflow: receipts with counts and digests; its logs as the others",
    "postgres": "the database itself: its tables are above",
    "intent.env": "settings",
    "passwords.json": "log-ins of Airflow",
    "supervisord.conf": "programs of local mode",
    "answers.parquet": "what was planted in a simulated shop, whose customers do not exist",
}
"""Everything else below INTENT_HOME, and why it holds no customer."""


def keep_days(settings: Settings, place: Table | Folder) -> int | None:
    """Return how many days a place may hold something; None: there is no such limit."""
    return settings.retention_days.get(place.name, place.keep_days)


def check_limits(settings: Settings) -> None:
    """Make sure that the limits name places and leave enough to work with.

    Raises:
        BadInput: a name is unknown, or snapshots would go before they were learned from.
    """
    limited = {place.name for place in (*TABLES, *TOMBSTONES, *FOLDERS) if place.keep_days}
    if unknown := sorted(settings.retention_days.keys() - limited):
        raise BadInput(
            f"INTENT_RETENTION_DAYS names {', '.join(unknown)}; places with a limit: "
            f"{', '.join(sorted(limited))}."
        )
    if least := [name for name, days in settings.retention_days.items() if days < 1]:
        raise BadInput(f"INTENT_RETENTION_DAYS: {', '.join(least)} must be at least 1 day.")
    needed = settings.history_days + settings.training_days + 60
    if settings.retention_days.get("snapshots", needed) < needed:
        raise BadInput(
            f"INTENT_RETENTION_DAYS keeps snapshots {settings.retention_days['snapshots']} days, "
            f"but {needed} are read: INTENT_HISTORY_DAYS + INTENT_TRAINING_DAYS + 60 for outcomes. "
            "Older ones would be copied again every week. Keep that many, or lower those."
        )
