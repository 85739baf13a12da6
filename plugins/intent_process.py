"""Run a step as a process of its own: start it, relay its output, stop its process group."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from io import TextIOWrapper
from pathlib import Path
from typing import IO, Protocol, Self

from intent_tasks import fork_server

ANSWER_SECONDS = 10.0
"""Longest time that the fork server takes to start a step."""

STOP_SECONDS = 3.0
"""Grace between SIGTERM and SIGKILL; Airflow's supervisor kills the task itself after 5 s."""

PASSED_NAMES = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE",
                "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy",
                "https_proxy", "no_proxy")  # fmt: skip
PASSED_PREFIXES = ("INTENT_", "LC_", "OMP_", "TF_", "KERAS_", "MLFLOW_", "GX_", "XDG_", "AWS_",
                   "GOOGLE_", "AZURE_")  # fmt: skip
"""Environment variables that a step receives. Airflow's own settings, connections and keys
(`AIRFLOW__*`, `AIRFLOW_CONN_*`) are not passed."""


def environment(source: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of an environment that a step receives."""
    passed = {
        name: value
        for name, value in source.items()
        if name in PASSED_NAMES or name.startswith(PASSED_PREFIXES)
    }
    # Without a buffer, each line arrives as soon as it is written.
    return passed | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


class Process(Protocol):
    """A process as this module uses it."""

    @property
    def pid(self) -> int:
        """Return the id of the process and of its group."""

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, negative for a signal.

        Raises:
            subprocess.TimeoutExpired: it still runs.
        """


class ForkRefused(Exception):
    """No server forks this step; the message gives the reason."""


class Forked:
    """A process that the fork server has started.

    Args:
        connection: to the server, which has answered with `pid`.
        pid: of the process, which leads its own session.
    """

    def __init__(self, connection: socket.socket, pid: int) -> None:
        self._answers = connection.makefile("rb")
        self._connection = connection
        self._exit_code: int | None = None
        self.pid = pid

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code; that of SIGKILL if the server died before it reported one."""
        if self._exit_code is None:
            self._connection.settimeout(timeout)
            try:
                line = self._answers.readline()
            except TimeoutError:
                raise subprocess.TimeoutExpired("step", timeout or 0) from None
            except OSError:
                line = b""
            self._exit_code = json.loads(line)["exit_code"] if line else -signal.SIGKILL
            self._answers.close()
            self._connection.close()
        return self._exit_code


def fork(path: Path, arguments: list[str], descriptors: list[int]) -> Forked:
    """Let the server at a socket start `intent` with these arguments and standard streams.

    Raises:
        ForkRefused: no server answers, or its fork would differ from a new interpreter.
    """
    request = fork_server.Request(
        arguments, environment(os.environ), str(Path.cwd()), fork_server.fingerprint()
    )
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(ANSWER_SECONDS)
    try:
        connection.connect(str(path))
        line = request.line()
        rest = line[socket.send_fds(connection, [line], descriptors) :]
        if rest:
            connection.sendall(rest)
        answer = json.loads(connection.makefile("rb", buffering=0).readline())
        return Forked(connection, answer["pid"])
    except (OSError, ValueError, KeyError) as error:
        connection.close()
        reason = answer["refused"] if isinstance(error, KeyError) else error
        raise ForkRefused(str(reason)) from None


class Child:
    """A running step, as a context that ends it when it is left.

    Its stdin is a pipe that nothing is written to. When this process dies, the pipe closes and the
    step ends itself (option `--until-stdin-closes`).

    Args:
        interpreter: Python that runs the step.
        arguments: of the command `intent`.
        log: is called with each line that the step writes.
        fork_from: socket of a fork server; without one that answers, a new interpreter is started.
    """

    def __init__(
        self,
        interpreter: str,
        arguments: list[str],
        log: Callable[[str], None],
        fork_from: Path | None = None,
    ) -> None:
        self._log = log
        self._last = {"stdout": "", "stderr": ""}
        self._process: Process
        self._process, self._stdin, self._streams = _start(interpreter, arguments, fork_from, log)
        self._errors = threading.Thread(target=self._relay, args=("stderr",), daemon=True)
        self._errors.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._errors.join(STOP_SECONDS)
        self._stdin.close()
        for stream in self._streams.values():
            stream.close()

    @property
    def last_output(self) -> str:
        """Last non-empty line of stdout: the receipt of a step that is done."""
        return self._last["stdout"]

    @property
    def last_error(self) -> str:
        """Last non-empty line of stderr: the message of a step that failed."""
        return self._last["stderr"]

    def wait(self) -> int:
        """Relay both streams until the step ends; return its exit code (negative: a signal)."""
        self._relay("stdout")
        self._errors.join()
        return self._process.wait()

    def stop(self) -> None:
        """End the whole process group: SIGTERM, and SIGKILL after `STOP_SECONDS`."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _relay(self, name: str) -> None:
        for line in self._streams[name]:
            if line.strip():
                self._last[name] = line.strip()
                self._log(line.rstrip())


def _start(
    interpreter: str, arguments: list[str], fork_from: Path | None, log: Callable[[str], None]
) -> tuple[Process, IO[bytes], dict[str, TextIOWrapper]]:
    """Start a step; return it, the writing end of its stdin, and its output streams by name."""
    (stdin, writer), (output, stdout), (errors, stderr) = os.pipe(), os.pipe(), os.pipe()
    child_ends = [stdin, stdout, stderr]
    try:
        process = _forked(interpreter, arguments, child_ends, fork_from, log) or subprocess.Popen(
            [interpreter, "-m", "intent_tasks.cli", *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            env=environment(os.environ),
            start_new_session=True,
        )
    finally:
        for descriptor in child_ends:
            os.close(descriptor)
    streams = {
        name: os.fdopen(descriptor, encoding="utf-8", errors="replace")
        for name, descriptor in (("stdout", output), ("stderr", errors))
    }
    return process, os.fdopen(writer, "wb"), streams


def _forked(
    interpreter: str,
    arguments: list[str],
    descriptors: list[int],
    path: Path | None,
    log: Callable[[str], None],
) -> Forked | None:
    """Return the step as a fork, or None if a new interpreter has to be started."""
    if path is None or not path.exists() or interpreter != sys.executable:
        return None
    try:
        return fork(path, arguments, descriptors)
    except ForkRefused as refused:
        log(f"No fork server for this step ({refused}); a new interpreter is started.")
        return None
