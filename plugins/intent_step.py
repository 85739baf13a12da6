"""The operator that runs one step of the pipeline as a process of its own.

A step is `intent step NAME --as-of-date D`. Airflow acts on its exit code:

| exit code | meaning | the task |
|---|---|---|
| 0 | done; the last line of stdout is the receipt | succeeds; the receipt is its XCom |
| 75 | a server or disk failed | is retried |
| 78 | the work is refused; the last line of stdout may name its page | fails, no retry |
| 99 | nothing to do | is skipped, with the tasks after it |
| killed by a signal | out of memory, machine stopped | is retried |
| other | a bug | fails, no retry |
"""

import json
from collections.abc import Callable, Collection
from typing import Any

from airflow.sdk import BaseOperator, BaseOperatorLink, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException
from intent_links import DataDocs, ModelRun, Rows
from intent_process import Child

from intent_tasks import fork_server
from intent_tasks.errors import NothingToDo, Refused, TemporaryFailure
from intent_tasks.settings import AirflowSettings, state_folder

Receipt = dict[str, Any]

RECEIPT_KEY = "receipt"
"""XCom key of the receipt if the return value is the list that a mapped task runs over."""


class Step(BaseOperator):
    """Run one step of the pipeline.

    Args:
        step: name of the step; by default the id of the task.
        as_of_date: shop day, YYYY-MM-DD, or a function of the context that returns it; the DAGs
            give it in their `default_args`.
        bucket: bucket of customers, for a step that works by bucket.
        map_over: field of the receipt, a list, that a mapped task runs over. It becomes the return
            value; the receipt is pushed under the key `receipt`.
    """

    template_fields: Collection[str] = ("as_of_date", "bucket")
    ui_color = "#e8f1ec"
    operator_extra_links: Collection[BaseOperatorLink] = (ModelRun(), DataDocs(), Rows())

    def __init__(
        self,
        *,
        step: str | None = None,
        as_of_date: str | Callable[..., str] = "",
        bucket: int | None = None,
        map_over: str | None = None,
        **kwargs: Any,  # noqa: ANN401 - the arguments of any operator
    ) -> None:
        super().__init__(**kwargs)
        if not as_of_date:
            raise ValueError(f"task {self.task_id}: as_of_date is missing, here and in the DAG")
        self.step = step or self.task_id
        self.as_of_date = as_of_date
        self.bucket = bucket
        self.map_over = map_over
        self.child: Child | None = None
        self.receipt: Receipt = {}
        self.refusal: Receipt = {}

    @property
    def arguments(self) -> list[str]:
        """The arguments of the command `intent`."""
        arguments = ["step", self.step]
        arguments += ["--as-of-date", str(self.as_of_date), "--until-stdin-closes"]
        return arguments if self.bucket is None else [*arguments, "--bucket", str(self.bucket)]

    def execute(self, context: Context) -> Receipt | list[int]:
        """Run the step to its end; return its receipt, or the list that a mapped task runs over."""
        with self._start() as self.child:
            exit_code = self.child.wait()
        if exit_code == Refused.exit_code:
            self.refusal = _object(self.child.last_output) or {}
        _raise_for(self.step, exit_code, self.child.last_error)
        self.receipt = receipt = _receipt(self.step, self.child.last_output)
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {"as_of_date": str(self.as_of_date)}
        if self.map_over is None:
            return receipt
        context["ti"].xcom_push(RECEIPT_KEY, receipt)
        items: list[int] = receipt[self.map_over]
        return items

    def _start(self) -> Child:
        settings, server = AirflowSettings(), None
        if settings.step_start == "fork":
            server = fork_server.socket_path(settings.fork_server_socket, state_folder())
        return Child(
            settings.python, self.arguments, lambda line: self.log.info("%s", line), server
        )

    def on_kill(self) -> None:
        """Stop the step: the task was killed or ran out of time."""
        if self.child is not None:
            self.child.stop()


def _raise_for(step: str, exit_code: int, message: str) -> None:
    """Raise the exception of Airflow for an exit code, with the message of the step."""
    if exit_code == 0:
        return
    if exit_code == NothingToDo.exit_code:
        raise AirflowSkipException(message)
    if exit_code == Refused.exit_code:
        raise AirflowFailException(message)
    if exit_code == TemporaryFailure.exit_code:
        raise AirflowException(message)
    if exit_code < 0:
        raise AirflowException(f"Step {step} was killed by signal {-exit_code}. {message}")
    raise AirflowFailException(f"Step {step} has a bug (exit code {exit_code}): {message}")


def _object(line: str) -> Receipt | None:
    """Return the JSON object of a line, or None."""
    try:
        value = json.loads(line)
    except json.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _receipt(step: str, line: str) -> Receipt:
    receipt = _object(line)
    if receipt is None:
        raise AirflowFailException(
            f"Step {step} has a bug: its last line is no receipt (a JSON object): {line!r}"
        )
    return receipt
