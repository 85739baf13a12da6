"""One step as a child process: started in its own process group, relayed line by line, stopped."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import Self

STOP_SECONDS = 3.0
"""Grace between SIGTERM and SIGKILL; Airflow's supervisor kills the task itself after 5 s."""

PASSED_NAMES = ("PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR", "PYTHONPATH", "SSL_CERT_FILE",
                "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy",
                "https_proxy", "no_proxy")  # fmt: skip
PASSED_PREFIXES = ("INTENT_", "LC_", "OMP_", "TF_", "KERAS_", "MLFLOW_", "GX_", "XDG_", "AWS_")
"""What a step needs from its surroundings. Airflow's own settings, connections and keys
(`AIRFLOW__*`, `AIRFLOW_CONN_*`) are none of its business."""


def environment(source: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that a step is given."""
    passed = {k: v for k, v in source.items() if k in PASSED_NAMES or k.startswith(PASSED_PREFIXES)}
    # Lines arrive as they are written, not when a buffer of 8 kB is full.
    return passed | {"PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


class Child:
    """A running step, as a context that ends it when it is left.

    Its stdin is a pipe that is never written to: when this process dies without a word, the pipe
    closes, and the step ends itself (option `--until-stdin-closes`).
    """

    def __init__(self, command: list[str], log: Callable[[str], None]) -> None:
        self._log = log
        self._last = {"stdout": "", "stderr": ""}
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            env=environment(os.environ),
            start_new_session=True,
        )
        self._errors = threading.Thread(target=self._relay, args=("stderr",), daemon=True)
        self._errors.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._errors.join(STOP_SECONDS)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            stream.close()

    @property
    def last_output(self) -> str:
        """Last line of stdout that is not empty: the receipt of a step that is done."""
        return self._last["stdout"]

    @property
    def last_error(self) -> str:
        """Last line of stderr that is not empty: the message of a step that failed."""
        return self._last["stderr"]

    def wait(self) -> int:
        """Relay both streams until the step ends; return its exit code (negative: a signal)."""
        self._relay("stdout")
        self._errors.join()
        return self._process.wait()

    def stop(self) -> None:
        """End the whole process group, with SIGTERM and after a grace with SIGKILL."""
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_SECONDS)
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _relay(self, name: str) -> None:
        lines: Iterable[str] = getattr(self._process, name)
        for line in lines:
            if line.strip():
                self._last[name] = line.strip()
                self._log(line.rstrip())
