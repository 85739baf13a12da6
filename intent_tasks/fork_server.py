"""A server that has imported the libraries and forks one process for each step.

Importing TensorFlow, Great Expectations and MLflow takes longer than most steps. The server imports
them once and starts nothing of them: no TensorFlow runtime, no OpenMP or Arrow thread, nothing that
a fork would break. A step is still a process of its own, with its own session, environment,
streams and memory, and computes the same bytes as in a new interpreter.

Protocol, on a Unix socket that only its owner may open: the client sends the descriptors of stdin,
stdout and stderr and one line of JSON (`Request`); the server answers with one line that holds the
`pid`, or with the reason in `refused`. When the step has ended, it sends one line with the
`exit_code`.

The server refuses requests if it differs from a new interpreter: code or packages have changed, or
its memory has grown. It ends when its steps have ended, and its supervisor starts it again.
"""

import atexit
import contextlib
import gc
import hashlib
import importlib
import json
import logging
import os
import selectors
import signal
import socket
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NoReturn

log = logging.getLogger("fork_server")

PRELOADED = (
    "tensorflow", "keras", "great_expectations", "mlflow", "mlflow.tracking", "lightgbm", "pandas",
    "pyarrow.parquet", "pyarrow.compute", "sqlalchemy", "psycopg2", "adbc_driver_postgresql",
    "sklearn.linear_model", "scipy.stats", "intent_tasks.cli",
)  # fmt: skip
"""Modules of the libraries that the steps use; `preload` adds the steps themselves."""

IMPORT_PREFIXES = ("GX_", "KERAS_", "LC_", "MLFLOW_", "OMP_", "OPENBLAS_", "PYTHONPATH", "TF_")
"""Variables that libraries read during import: a request must have the values of the server."""

MAX_GROWTH = 1.5
"""Memory of the server relative to that after the imports, above which it ends."""

LINE_BYTES = 1 << 20
"""Maximum length of a request."""

STREAMS = 3
"""Descriptors of a request: stdin, stdout and stderr."""

RECEIVE_SECONDS = 10.0
"""Maximum time until a client has sent its request."""

PATH_BYTES = 100
"""Maximum length of the path of a Unix socket; operating systems allow 104 to 108 bytes."""


@dataclass(frozen=True)
class Request:
    """A step to start.

    Args:
        arguments: of the command `intent`.
        environment: all variables of the step.
        folder: working directory.
        fingerprint: of code and packages, as the client sees them.
    """

    arguments: list[str]
    environment: dict[str, str]
    folder: str
    fingerprint: str

    def line(self) -> bytes:
        """Return the request as one line."""
        return json.dumps(asdict(self)).encode() + b"\n"


def socket_path(setting: str, home: Path) -> Path | None:
    """Return where the server listens; None where that path is too long for a socket."""
    path = Path(setting) if setting else home / "fork_server.sock"
    return path if len(os.fsencode(path)) <= PATH_BYTES else None


def fingerprint() -> str:
    """Return a digest of the interpreter, of our code, and of the names of installed packages."""
    root = Path(__file__).parent.parent
    code = sorted(
        p for name in ("intent_tasks", "expectations") for p in (root / name).rglob("*.*")
    )
    facts = [sys.executable, sys.version]
    for path in code:
        if path.suffix != ".pyc":
            state = path.stat()
            facts.append(f"{path} {state.st_size} {state.st_mtime_ns}")
    packages = Path(json.__file__).parent.parent, *map(Path, sys.path)
    for folder in sorted({p for p in packages if p.name == "site-packages" and p.is_dir()}):
        facts += sorted(p.name for p in folder.glob("*.dist-info"))
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()


def import_variables(environment: dict[str, str]) -> dict[str, str]:
    """Return the variables that libraries read when they are imported."""
    return {k: v for k, v in environment.items() if k.startswith(IMPORT_PREFIXES)}


def preload() -> None:
    """Import what the steps use, and leave it out of what the garbage collector looks at."""
    from intent_tasks.steps import STEPS

    os.environ.setdefault("JE_ARROW_MALLOC_CONF", "background_thread:false")
    for name in (*PRELOADED, *(f"intent_tasks.steps.{step}" for step in STEPS)):
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # else each child would copy the pages of all objects when it collects


def own_bytes() -> int:
    """Return the memory of this process that is not shared with files."""
    import psutil

    memory = psutil.Process().memory_info()
    return int(memory.rss - getattr(memory, "shared", 0))


class Server:
    """Forks a process for each request until it has to be replaced.

    Args:
        listener: Unix socket that listens.
        environment: variables of the server before it imported anything.
    """

    def __init__(self, listener: socket.socket, environment: dict[str, str]) -> None:
        self._listener: socket.socket | None = listener
        self._fingerprint = fingerprint()
        self._import_variables = import_variables(environment)
        self._most_bytes = own_bytes() * MAX_GROWTH
        self._clients: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._wakeup, waker = socket.socketpair()
        for end in (self._wakeup, waker):
            end.setblocking(False)
        self._waker = waker
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self._selector.register(listener, selectors.EVENT_READ)
        self._selector.register(self._wakeup, selectors.EVENT_READ)

    def serve(self) -> Request | None:
        """Serve until replaced; return None then, and in each forked child its request."""
        while self._listener or self._clients:
            for key, _ in self._selector.select():
                if key.fileobj is self._wakeup:
                    self._reap()
                elif self._listener and (request := self._accept(self._listener)):
                    return request
        return None

    def retire(self) -> None:
        """Accept no more requests; `serve` returns when the steps that run have ended."""
        if self._listener:
            self._selector.unregister(self._listener)
            Path(self._listener.getsockname()).unlink(missing_ok=True)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> Request | None:
        """Start a step; return its request in the child, None in the server."""
        client, _ = listener.accept()
        client.settimeout(RECEIVE_SECONDS)
        descriptors: list[int] = []
        try:
            request = _receive(client, descriptors)
            reason = self._reason_against(request)
        except (OSError, ValueError, TypeError) as error:
            reason = f"the request cannot be read: {error}"
        if reason:
            log.warning("refused: %s", reason)
            _answer(client, {"refused": reason})
            client.close()
        elif (pid := os.fork()) == 0:
            client.close()
            self._become_step(request, descriptors)
            return request
        else:
            log.info("process %d: intent %s", pid, " ".join(request.arguments))
            self._clients[pid] = client
            _answer(client, {"pid": pid})
        for descriptor in descriptors:
            os.close(descriptor)
        return None

    def _reason_against(self, request: Request) -> str:
        child_ends = import_variables(request.environment).items()
        if changed := sorted({name for name, _ in child_ends ^ self._import_variables.items()}):
            return f"libraries were imported with other values of {', '.join(changed)}"
        if request.fingerprint != self._fingerprint or fingerprint() != self._fingerprint:
            self.retire()
            return "code or packages have changed since the server was started"
        if own_bytes() > self._most_bytes:
            self.retire()
            return "the server has grown"
        return ""

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wakeup.recv(4096):
                pass
        for pid in list(self._clients):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                with self._clients.pop(pid) as client:
                    _answer(client, {"exit_code": os.waitstatus_to_exitcode(status)})

    def _become_step(self, request: Request, descriptors: list[int]) -> None:
        """Make this process what a new one would be: session, signals, streams, environment."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for end in (self._listener, self._wakeup, self._waker, *self._clients.values()):
            if end:
                end.close()
        self._selector.close()
        for target, descriptor in enumerate(descriptors):
            os.dup2(descriptor, target)
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(request.environment)
        time.tzset()
        os.chdir(request.folder)
        sys.argv[1:] = request.arguments
        gc.unfreeze()


def _receive(client: socket.socket, descriptors: list[int]) -> Request:
    """Return a request; the descriptors of its streams are appended to a list.

    Raises:
        ValueError: it is no request.
    """
    line, received, _, _ = socket.recv_fds(client, LINE_BYTES, STREAMS)
    descriptors += received
    while not line.endswith(b"\n"):
        more = client.recv(LINE_BYTES)
        line += more
        if not more or len(line) > LINE_BYTES:
            raise ValueError("it ends without a line break")
    if len(descriptors) != STREAMS:
        raise ValueError("it comes without the descriptors of three streams")
    return Request(**json.loads(line))


def _answer(client: socket.socket, answer: dict[str, object]) -> None:
    with contextlib.suppress(OSError):  # the client is gone; the step ends by its stdin
        client.sendall(json.dumps(answer).encode() + b"\n")


def listen(path: Path) -> socket.socket:
    """Listen on a socket that only its owner may open; what an earlier server left is removed."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(path))
    path.chmod(0o600)
    listener.listen(64)
    return listener


def main() -> None:
    """Serve the state folder of the environment until the server has to be replaced."""
    from intent_tasks.settings import state_folder

    os.umask(0o077)
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.INFO)
    log.propagate = False
    path = socket_path(os.environ.get("INTENT_FORK_SERVER_SOCKET", ""), state_folder())
    if path is None:
        log.warning("the path is too long for a socket: set INTENT_FORK_SERVER_SOCKET")
        return
    environment = dict(os.environ)
    preload()
    server = Server(listen(path), environment)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    log.info("listening at %s, %d MiB", path, own_bytes() >> 20)
    if server.serve():
        _run()


def _run() -> NoReturn:
    """Run the command line and end, as a new interpreter would.

    What is left in memory is not taken apart: that would copy every page shared with the server.
    """
    from intent_tasks.cli import main as run

    code: object = 1
    try:
        run()
        code = 0
    except SystemExit as ended:
        code = ended.code
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main()
