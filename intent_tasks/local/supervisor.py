"""The process manager of the local servers: supervisord, controlled over loopback."""

import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from intent_tasks.errors import IntentError
from intent_tasks.local import configuration, postgres, waiting
from intent_tasks.local.installation import Installation, write_private
from intent_tasks.local.supervisor_client import PROGRAMS, SupervisorClient

PID_FILE = "supervisord.pid"
STOP_SECONDS = 20
"""Longest time that a server may take to stop; then it is killed."""
DATABASE_STOP_SECONDS = 120
"""The same for the database, which has to recover after a kill during its last checkpoint."""
ALL_STOP_SECONDS = DATABASE_STOP_SECONDS + STOP_SECONDS * len(PROGRAMS)
"""Longest time until all have stopped, one after the other."""
PRINT_EVERY_SECONDS = 10
LAUNCH_STALL_SECONDS = 60
"""Longest time without progress until supervisord answers."""
POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Program:
    """One server: its command, environment variables and options of supervisord."""

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


class Supervisor(SupervisorClient):
    """The supervisord of one installation, which this machine can start and stop."""

    def launch(self) -> None:
        """Start supervisord without starting servers."""
        file = self.installation.home / "supervisord.conf"
        write_private(file, supervisord_conf(self.installation))
        subprocess.run(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(file)],
            env=configuration.shared_environment(self.installation),
            cwd=self.installation.home,
            check=True,
        )
        name = f"supervisord (log: {self.installation.logs / 'supervisord.log'})"
        waiting.wait_for_progress(
            self.answers, name, self._processor_seconds, POLL_SECONDS, LAUNCH_STALL_SECONDS
        )

    def _processor_seconds(self) -> float:
        """Return the processor seconds of supervisord itself; 0 when it is not running."""
        try:
            runner = psutil.Process(int((self.installation.home / PID_FILE).read_text()))
            return float(sum(runner.cpu_times()[:2]))
        except (OSError, ValueError, psutil.NoSuchProcess):
            return 0.0

    def progress(self, name: str) -> tuple[int, int, int]:
        """Return process id, processor seconds and bytes of the log of a server."""
        log = self.installation.logs / f"{name}.log"
        size = log.stat().st_size if log.exists() else 0
        pid = self.pid(name)
        try:
            runner = psutil.Process(pid) if pid else None
            processes = [runner, *runner.children(recursive=True)] if runner else []
            seconds = sum(sum(process.cpu_times()[:2]) for process in processes)
        except psutil.Error:  # it has ended
            seconds = 0
        return pid, int(seconds), size

    def shutdown(self, print_line: Callable[[str], None]) -> None:
        """Stop all servers, the database last, and supervisord itself.

        Args:
            print_line: prints a line for the person who waits.

        Raises:
            IntentError: one is still running after the time in which supervisord kills each.
        """
        try:
            runner = psutil.Process(int((self.installation.home / PID_FILE).read_text()))
        except (OSError, psutil.NoSuchProcess):  # it has ended
            return
        with suppress(xmlrpc.client.Fault):  # it is already stopping
            self._call("shutdown")
        start = time.monotonic()
        while psutil.wait_procs([runner], timeout=PRINT_EVERY_SECONDS)[1]:
            seconds = time.monotonic() - start
            running = ", ".join([*_child_names(runner), "supervisord"])
            if seconds > ALL_STOP_SECONDS:
                raise IntentError(
                    f"After {seconds:.0f} s still running: {running}. See "
                    f"{self.installation.logs / 'supervisord.log'}, and try again."
                )
            print_line(f"After {seconds:.0f} s still stopping: {running} …")


def _child_names(runner: psutil.Process) -> list[str]:
    """Return the names of the servers of a supervisord, or their process names."""
    names = []
    with suppress(psutil.Error):
        for process in runner.children():
            with suppress(psutil.Error):
                name = process.environ().get("SUPERVISOR_PROCESS_NAME")
                names.append(name or process.name())
    return names


def stop_orphans(installation: Installation) -> bool:
    """Stop the servers of a supervisord that was killed, because they hold the ports.

    Return whether there were any. They are recognised by their working folder, and by the variable
    that supervisord sets, or by the title with which Airflow overwrites it.
    """
    had_database = installation.postgres.is_running()
    installation.postgres.stop()
    servers = [
        process for process in psutil.process_iter() if _is_server(process, installation.home)
    ]
    for process in servers:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, remaining = psutil.wait_procs(servers, timeout=10)
    for process in remaining:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(remaining, timeout=10)
    return had_database or bool(servers)


def _is_server(process: psutil.Process, home: Path) -> bool:
    try:
        if Path(process.cwd()) != home.resolve():
            return False
        named = process.environ().get("SUPERVISOR_PROCESS_NAME") in PROGRAMS
        return named or " ".join(process.cmdline()).split(" ")[0] == "airflow"
    except (psutil.Error, OSError):  # of another account, or it has ended
        return False


def wait_until(is_done: Callable[[], bool], name: str, seconds: float) -> None:
    """Poll until something is done.

    Raises:
        IntentError: it was not done in that time.
    """
    end = time.monotonic() + seconds
    while not is_done():
        if time.monotonic() > end:
            raise IntentError(f"Timed out after {seconds:.0f} s while waiting for {name}.")
        time.sleep(POLL_SECONDS)


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
