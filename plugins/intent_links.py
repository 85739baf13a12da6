"""Links of a task: the MLflow run, the Data Docs page, and the rows that the step wrote.

Airflow calls them in the task's process after the task has ended, so they read the attributes of
the operator, not the metadata database. An empty link is not shown. Pages of the plugin are linked
by path, so that a link works behind a proxy and under every host name.
"""

from typing import TYPE_CHECKING, cast
from urllib.parse import quote, urlsplit

from airflow.sdk import BaseOperator, BaseOperatorLink, conf

if TYPE_CHECKING:
    from airflow.sdk.types import TaskInstanceKey
    from intent_step import Step

PREFIX = "/intent"
"""Path prefix of the plugin's pages in Airflow's API server."""


def page(path: str) -> str:
    """Return the address of a page of the plugin, as a path on Airflow's own host."""
    root = urlsplit(conf.get("api", "base_url", fallback="")).path.rstrip("/")
    return f"{root}{PREFIX}/{quote(path)}"


def _step(operator: BaseOperator) -> "Step":
    """Return the operator as a `Step`, because only steps have these links."""
    return cast("Step", operator)


class ModelRun(BaseOperatorLink):
    """The MLflow run of the model version that the step used or registered."""

    name = "MLflow run"

    def get_link(self, operator: BaseOperator, *, ti_key: "TaskInstanceKey") -> str:
        """Return the address in the receipt, or an empty text."""
        return str(_step(operator).receipt.get("run_url") or "")


class DataDocs(BaseOperatorLink):
    """The page of Great Expectations with the results of the step's validation."""

    name = "Data Docs"

    def get_link(self, operator: BaseOperator, *, ti_key: "TaskInstanceKey") -> str:
        """Return the page of this validation, passed or refused, or an empty text."""
        step = _step(operator)
        written = step.receipt.get("data_docs") or step.refusal.get("data_docs")
        return page(str(written)) if written else ""


class Rows(BaseOperatorLink):
    """The rows that the step wrote, as SQL to copy."""

    name = "Rows written"

    def get_link(self, operator: BaseOperator, *, ti_key: "TaskInstanceKey") -> str:
        """Return the page of this step and day, or an empty text if the step failed."""
        step = _step(operator)
        return page(f"rows/{step.step}/{step.as_of_date}") if step.receipt else ""
