"""The register of personal data: every place that can hold a customer, and how long it keeps one.

Erasure and retention work through these lists only. A test fails when a table has a column of
customers, or the code writes a file, that is not in them.
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
    """A table with rows about customers.

    Args:
        table: of schema `intent`.
        dated_by: column with the date of a row; None: a row is deleted when nothing else of the
            customer is left, or never.
        keep_days: days for which a row is kept, unless INTENT_RETENTION_DAYS sets another number.
    """

    table: sa.Table
    dated_by: str | None = None
    keep_days: int | None = None

    @property
    def name(self) -> str:
        """Name in INTENT_RETENTION_DAYS and in reports."""
        return str(self.table.name)


@dataclass(frozen=True)
class Folder:
    """A folder below INTENT_HOME with files about customers.

    Args:
        name: of the folder.
        keep_days: days for which a file is kept, unless INTENT_RETENTION_DAYS sets another number.
    """

    name: str
    keep_days: int


TABLES = (
    Table(predictions, "as_of_date", 400),
    Table(outcomes, "as_of_date", 400),
    Table(quarantine, "found_at", 90),
    Table(customer_keys),
)
"""Tables from which an erasure deletes, in this order: the pair of id and key comes last."""

TOMBSTONES = (Table(erasures), Table(erasure_requests, "done_at", 400))
"""Tables that keep the keyed hash of an erased customer, so that they are not collected again."""

FOLDERS = (
    Folder("snapshots", 400),
    Folder("scores", 30),
    Folder("training", 400),
    Folder("exports", 30),
)

LOGS = ("logs", "airflow/logs", "bugs.log")
"""Folders and files below INTENT_HOME. We write no customer there, but an erasure searches them."""

OWNED_SHOP_TABLES = (events, customers)
"""Tables of schema `shop`. An erasure deletes from them where INTENT_SHOP_OWNER_URL is set."""

WITHOUT_CUSTOMERS = {
    "data_docs": "pages of the contract: counts, no row values",
    "validation_results": "the same as JSON",
    "validation_results.lock": "an empty file, for one check at a time",
    "contract.toml": "thresholds: shares of values that ten rows have at least",
    "contract.proposed.toml": "the same, before a person accepts it",
    "pretraining": "weights, and vocabularies and lists of products",
    "models": "copies of model versions: weights and vocabularies of products",
    "mlflow": "runs and versions: weights, metrics of all customers together",
    "logs": "messages with days, counts and names of files; an erasure searches them",
    "bugs.log": "files, lines and classes of exceptions, without values; searched as well",
    "airflow": "state of Airflow: receipts with counts and digests; an erasure searches its logs",
    "postgres": "the database itself: its tables are above",
    "intent.env": "settings",
    "local.json": "ports and passwords of local mode",
    "passwords.json": "log-ins of Airflow",
    "supervisord.conf": "programs of local mode",
    "supervisord.pid": "the number of a process",
    "fork_server.sock": "a socket, which keeps nothing",
    "answers.parquet": "what was planted in a simulated shop, whose customers do not exist",
}
"""Everything else below INTENT_HOME, and why it holds no customer."""


def keep_days(settings: Settings, place: Table | Folder) -> int | None:
    """Return the number of days that a place keeps data; None: without a limit."""
    return settings.retention_days.get(place.name, place.keep_days)


def check_limits(settings: Settings) -> None:
    """Check that the limits name places of the register, and keep what the steps read.

    Raises:
        BadInput: a name is unknown, or the limit of snapshots is shorter than training needs.
    """
    limited = {place.name for place in (*TABLES, *TOMBSTONES, *FOLDERS) if place.keep_days}
    if unknown := sorted(settings.retention_days.keys() - limited):
        raise BadInput(
            f"INTENT_RETENTION_DAYS names {', '.join(unknown)}; places with a limit: "
            f"{', '.join(sorted(limited))}."
        )
    if too_short := [name for name, days in settings.retention_days.items() if days < 1]:
        raise BadInput(f"INTENT_RETENTION_DAYS: {', '.join(too_short)} must be at least 1 day.")
    needed = settings.history_days + settings.training_days + 60
    if settings.retention_days.get("snapshots", needed) < needed:
        raise BadInput(
            f"INTENT_RETENTION_DAYS keeps snapshots {settings.retention_days['snapshots']} days, "
            f"but {needed} are read: INTENT_HISTORY_DAYS + INTENT_TRAINING_DAYS + 60 for outcomes. "
            "Older ones would be copied again every week. Keep that many, or lower those."
        )
