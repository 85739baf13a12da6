"""Calls to supervisord, which manages the local servers, over loopback."""

import http.client
import xmlrpc.client
from pathlib import Path
from typing import Any

from intent_tasks.errors import IntentError
from intent_tasks.local.installation import Installation

AIRFLOW = ("airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
PROGRAMS = ("postgres", "mlflow", "fork-server", *AIRFLOW)
"""All servers in the order of their start; they stop in reverse order."""

UNREACHABLE = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError)
"""Errors of a call when supervisord does not run."""


class SupervisorClient:
    """The supervisord of one installation, as a caller sees it."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    def _call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - XML-RPC
        # A connection for each call, because several threads call at once.
        login = f"supervisor:{self.installation.secrets.supervisor}"
        address = f"http://{login}@127.0.0.1:{self.installation.ports['supervisor']}/RPC2"
        with xmlrpc.client.ServerProxy(address) as server:
            return getattr(server.supervisor, method)(*arguments)

    def answers(self) -> bool:
        """Return True if the supervisord of this installation answers."""
        try:
            self._call("getState")
        except UNREACHABLE:
            return False
        return True

    def states(self) -> dict[str, str]:
        """Return the state of each server, such as RUNNING or FATAL."""
        return {info["name"]: info["statename"] for info in self._call("getAllProcessInfo")}

    def pid(self, name: str) -> int:
        """Return the process id of a server; 0 when it is not running."""
        return int(self._call("getProcessInfo", name)["pid"])

    def start(self, name: str) -> None:
        """Start a server unless it is running; do not wait until it answers."""
        if self.states()[name] not in ("RUNNING", "STARTING"):
            self._call("startProcess", name, False)

    def check(self, name: str) -> None:
        """Check that a server has not failed for good.

        Raises:
            IntentError: it has; the message quotes the last lines of its log.
        """
        if self.states()[name] in ("FATAL", "EXITED"):
            log = self.installation.logs / f"{name}.log"
            raise IntentError(
                f"{name} does not start. Its last lines: {last_lines(log)} (log: {log})"
            )


def last_lines(log: Path, count: int = 5) -> str:
    """Return the last lines of a log, joined to one."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else ["(nothing)"]
    return " | ".join(line.strip() for line in lines[-count:])
