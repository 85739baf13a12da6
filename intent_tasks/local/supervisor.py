"""The process runner of the local servers: supervisord, spoken to over loopback with a password."""

import http.client
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from intent_tasks.errors import IntentError
from intent_tasks.local import configuration, patience, postgres
from intent_tasks.local.installation import Installation, write_private

AIRFLOW = ("airflow-api", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer")
PROGRAMS = ("postgres", "mlflow", "fork-server", *AIRFLOW)
"""Every server, in the order they are started; stopped the other way round."""

PID_FILE = "supervisord.pid"
STOP_SECONDS = 20
"""Longest time a server may take to end by itself; then it is killed."""
DATABASE_STOP_SECONDS = 120
"""The same for the database: killed in its last checkpoint, it would have to recover."""
ALL_STOP_SECONDS = DATABASE_STOP_SECONDS + STOP_SECONDS * len(PROGRAMS)
"""Longest time until all have ended, since they end one after the other."""
SAY_EVERY_SECONDS = 10
BEGIN_SECONDS = 60
"""Longest time in which a supervisord that does not answer yet does nothing."""
POLL_SECONDS = 0.2

UNREACHABLE = (OSError, http.client.HTTPException, xmlrpc.client.ProtocolError)


@dataclass(frozen=True)
class Program:
    """One server: its command, variables of its own, and options of supervisord."""

    command: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, object] = field(default_factory=dict)


def programs(installation: Installation) -> dict[str, Program]:
    """Return all servers by name."""
    airflow = [sys.executable, "-m", "airflow"]
    mlflow = [sys.executable, "-m", "mlflow", "server", "--app-name", "intent"]
    where = ["--host", "127.0.0.1", "--port", str(installation.ports["mlflow"]), "--workers", "1"]
    user = postgres.account()
    database: dict[str, object] = {
        "stopsignal": "INT",
        "stopasgroup": "false",
        "stopwaitsecs": DATABASE_STOP_SECONDS,
    }
    if user:
        database["user"] = user.pw_name
    return {
        "postgres": Program(installation.postgres.command(), options=database),
        "mlflow": Program([*mlflow, *where], configuration.mlflow_environment(installation)),
        "fork-server": Program([sys.executable, "-m", "intent_tasks.fork_server"]),
        "airflow-api": Program([*airflow, "api-server"]),
        "airflow-scheduler": Program([*airflow, "scheduler", "--skip-serve-logs"]),
        "airflow-dag-processor": Program([*airflow, "dag-processor"]),
        "airflow-triggerer": Program([*airflow, "triggerer", "--skip-serve-logs"]),
    }


class Supervisor:
    """The supervisord of one installation."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation

    def _call(self, method: str, *arguments: object) -> Any:  # noqa: ANN401 - XML-RPC
        # A connection of its own for each call, because threads call at once.
        login = f"supervisor:{self.installation.secrets.supervisor}"
        address = f"http://{login}@127.0.0.1:{self.installation.ports['supervisor']}/RPC2"
        with xmlrpc.client.ServerProxy(address) as server:
            return getattr(server.supervisor, method)(*arguments)

    def answers(self) -> bool:
        """Return whether our supervisord runs."""
        try:
            self._call("getState")
        except UNREACHABLE:
            return False
        return True

    def launch(self) -> None:
        """Start supervisord with all servers still stopped."""
        file = self.installation.home / "supervisord.conf"
        write_private(file, supervisord_conf(self.installation))
        subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(file)],
            env=configuration.shared_environment(self.installation),
            cwd=self.installation.home,
            check=True,
        )
        what = f"supervisord (log: {self.installation.logs / 'supervisord.log'})"
        patience.until(self.answers, what, self._own_work, POLL_SECONDS, BEGIN_SECONDS)

    def _own_work(self) -> float:
        """Return how much supervisord itself has worked, in seconds of processor."""
        try:
            runner = psutil.Process(int((self.installation.home / PID_FILE).read_text()))
            return float(sum(runner.cpu_times()[:2]))
        except (OSError, ValueError, psutil.NoSuchProcess):  # not yet, or not any more
            return 0.0

    def work(self, name: str) -> tuple[int, int, int]:
        """Return a server's process id, its seconds of processor and the bytes of its log."""
        log = self.installation.logs / f"{name}.log"
        size = log.stat().st_size if log.exists() else 0
        pid = self.pid(name)
        try:
            runner = psutil.Process(pid) if pid else None
            family = [runner, *runner.children(recursive=True)] if runner else []
            seconds = sum(sum(process.cpu_times()[:2]) for process in family)
        except psutil.Error:  # it has just ended
            seconds = 0
        return pid, int(seconds), size

    def states(self) -> dict[str, str]:
        """Return the state of each server, such as RUNNING or FATAL."""
        return {info["name"]: info["statename"] for info in self._call("getAllProcessInfo")}

    def pid(self, name: str) -> int:
        """Return the process id of a server; 0 when it does not run."""
        return int(self._call("getProcessInfo", name)["pid"])

    def start(self, name: str) -> None:
        """Start a server unless it runs; does not wait until it answers."""
        if self.states()[name] not in ("RUNNING", "STARTING"):
            self._call("startProcess", name, False)

    def check(self, name: str) -> None:
        """Check that a server has not given up.

        Raises:
            IntentError: it has; the message ends with what it said last and where its log is.
        """
        if self.states()[name] in ("FATAL", "EXITED"):
            log = self.installation.logs / f"{name}.log"
            raise IntentError(f"{name} does not start. It said: {last_lines(log)} (log: {log})")

    def shutdown(self, say: Callable[[str], None]) -> None:
        """Stop all servers, the database last, and supervisord itself.

        Args:
            say: shows a line to the person who waits.

        Raises:
            IntentError: one still runs after the time in which supervisord kills each of them.
        """
        try:
            runner = psutil.Process(int((self.installation.home / PID_FILE).read_text()))
        except (OSError, psutil.NoSuchProcess):  # it has just ended
            return
        with suppress(xmlrpc.client.Fault):  # it is ending already
            self._call("shutdown")
        begun = time.monotonic()
        while psutil.wait_procs([runner], timeout=SAY_EVERY_SECONDS)[1]:
            seconds = time.monotonic() - begun
            still = ", ".join([*_names_below(runner), "supervisord"])
            if seconds > ALL_STOP_SECONDS:
                raise IntentError(
                    f"After {seconds:.0f} s these still run: {still}. See "
                    f"{self.installation.logs / 'supervisord.log'}, and try again."
                )
            say(f"After {seconds:.0f} s these are still to end: {still} …")


def _names_below(runner: psutil.Process) -> list[str]:
    """Return the servers of a supervisord; those that wrote a title over their variables by it."""
    found = []
    with suppress(psutil.Error):
        for process in runner.children():
            with suppress(psutil.Error):
                named = process.environ().get("SUPERVISOR_PROCESS_NAME")
                found.append(named or process.name())
    return found


def end_left_behind(installation: Installation) -> bool:
    """End the servers of a supervisord that was killed: nobody else would, and they hold the ports.

    Returns whether there were any. They are known by their working folder and by what supervisord
    calls them, or, where Airflow writes its own title over that, by this title.
    """
    had_database = installation.postgres.runs()
    installation.postgres.stop()
    found = [process for process in psutil.process_iter() if _is_server(process, installation.home)]
    for process in found:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, still = psutil.wait_procs(found, timeout=10)
    for process in still:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(still, timeout=10)
    return had_database or bool(found)


def _is_server(process: psutil.Process, home: Path) -> bool:
    try:
        if Path(process.cwd()) != home.resolve():
            return False
        named = process.environ().get("SUPERVISOR_PROCESS_NAME") in PROGRAMS
        return named or " ".join(process.cmdline()).split(" ")[0] == "airflow"
    except (psutil.Error, OSError):  # another account's, or it has just ended
        return False


def wait_until(true: Callable[[], bool], what: str, seconds: float) -> None:
    """Ask again and again.

    Raises:
        IntentError: it took longer than that.
    """
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise IntentError(f"Waited {seconds:.0f} s for {what}, in vain.")
        time.sleep(POLL_SECONDS)


def last_lines(log: Path, count: int = 5) -> str:
    """Return the last lines of a log, as one."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else ["(nothing)"]
    return " | ".join(line.strip() for line in lines[-count:])


def supervisord_conf(installation: Installation) -> str:
    """Return the text of `supervisord.conf`."""
    sections = [
        _section(
            "supervisord",
            # Relative to the state folder, because supervisord expands these values twice.
            logfile="logs/supervisord.log",
            pidfile=PID_FILE,
            childlogdir="logs",
            umask="077",
            **({"user": "root"} if postgres.account() else {}),
        ),
        _section(
            "inet_http_server",
            port=f"127.0.0.1:{installation.ports['supervisor']}",
            username="supervisor",
            password=installation.secrets.supervisor,
        ),
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n",
    ]
    for priority, (name, program) in enumerate(programs(installation).items(), 1):
        sections.append(_program_section(name, program, priority))
    return "\n".join(sections)


def _program_section(name: str, program: Program, priority: int) -> str:
    options: dict[str, object] = {
        "command": shlex.join(program.command),
        "priority": priority,
        "autostart": "false",
        "autorestart": "true",
        "startsecs": 3,
        "stopwaitsecs": STOP_SECONDS,
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": f"logs/{name}.log",
        "stdout_logfile_maxbytes": "20MB",
        "stdout_logfile_backups": 1,
        "environment": ",".join(f'{k}="{v}"' for k, v in program.environment.items()),
    }
    return _section(f"program:{name}", **(options | dict(program.options)))


def _section(name: str, **options: object) -> str:
    lines = [f"{key} = {str(value).replace('%', '%%')}" for key, value in options.items()]
    return "\n".join([f"[{name}]", *lines, ""])
