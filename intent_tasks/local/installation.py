"""A local installation: its folder, its ports and its secrets.

They are in `local.json` (mode 0600) in the state folder. Every start writes the configuration files
from it again, because another program may have taken a port.
"""

import base64
import os
import secrets
from datetime import date
from pathlib import Path
from typing import Self

from pydantic import BaseModel, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from intent_tasks.errors import Refused
from intent_tasks.local import databases, ports, postgres

STATE_FILE = "local.json"
SERVERS = ("supervisor", "postgres", "mlflow", "airflow")
"""Servers with a port."""


def _password() -> str:
    return secrets.token_urlsafe(18)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


class WantedPorts(BaseSettings):
    """Requested ports, such as INTENT_AIRFLOW_PORT=8080; other servers get a free one."""

    model_config = SettingsConfigDict(env_prefix="INTENT_", frozen=True, extra="ignore")

    supervisor_port: int | None = None
    postgres_port: int | None = None
    mlflow_port: int | None = None
    airflow_port: int | None = None

    def by_server(self) -> dict[str, int]:
        """Return the requested ports by server."""
        chosen = {name: getattr(self, f"{name}_port") for name in SERVERS}
        return {name: port for name, port in chosen.items() if port is not None}


class Secrets(BaseModel):
    """Passwords and keys, generated once; they appear in no command line and no log."""

    model_config = {"frozen": True}

    supervisor: str = Field(default_factory=_password, repr=False)
    postgres_admin: str = Field(default_factory=_password, repr=False)
    roles: dict[str, str] = Field(
        default_factory=lambda: {role: _password() for role in databases.ROLES}, repr=False
    )
    mlflow: str = Field(default_factory=_password, repr=False)
    mlflow_sessions: str = Field(default_factory=_password, repr=False)
    airflow: str = Field(default_factory=_password, repr=False)
    airflow_tokens: str = Field(default_factory=lambda: secrets.token_hex(32), repr=False)
    airflow_sessions: str = Field(default_factory=lambda: secrets.token_hex(32), repr=False)
    airflow_fernet: str = Field(default_factory=_fernet_key, repr=False)
    identity_key: str = Field(default_factory=lambda: secrets.token_hex(32), repr=False)
    manifest_key: str = Field(default_factory=lambda: secrets.token_hex(32), repr=False)


class Calendar(BaseModel):
    """Time zone and last day of the shop.

    Args:
        time_zone: IANA name; its midnight ends a shop day.
        last_day: last day of a recorded shop; None for a live one.
    """

    model_config = {"frozen": True}

    time_zone: str = "UTC"
    last_day: date | None = None


class Installation(BaseModel):
    """One local installation, below `home` except a database whose account may not enter it."""

    model_config = {"frozen": True}

    home: Path
    postgres_folder: Path
    ports: dict[str, int]
    calendar: Calendar = Calendar()
    secrets: Secrets = Field(default_factory=Secrets)

    @classmethod
    def load(cls, home: Path) -> Self | None:
        """Return the installation in that folder, or None."""
        file = home / STATE_FILE
        return cls.model_validate_json(file.read_text()) if file.exists() else None

    @classmethod
    def prepare(cls, home: Path, calendar: Calendar | None = None) -> Self:
        """Return the installation in that folder, created if missing, with free ports.

        Raises:
            Refused: a requested port is taken, or the folder serves another shop.
        """
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        existing = cls.load(home)
        if existing:
            chosen = choose_ports(existing.ports, WantedPorts().by_server())
            installation = existing.with_calendar(calendar).model_copy(update={"ports": chosen})
        else:
            installation = cls(
                home=home,
                postgres_folder=postgres.choose_folder(home / "postgres"),
                ports=choose_ports({}, WantedPorts().by_server()),
                calendar=calendar or Calendar(),
            )
        installation.save()
        return installation

    def save(self) -> None:
        """Write the file that `load` reads."""
        write_private(self.home / STATE_FILE, self.model_dump_json(indent=1))

    def with_calendar(self, calendar: Calendar | None) -> Self:
        """Return this installation with that calendar; None keeps its own.

        The time zone of a live shop may change.

        Raises:
            Refused: it serves another shop, or a recording that was loaded with another time zone.
        """
        calendar = calendar or self.calendar
        is_live = calendar.last_day is None and self.calendar.last_day is None
        if calendar != self.calendar and not is_live:
            raise Refused(
                f"{self.home} serves a shop whose last day is {self.calendar.last_day} "
                f"({self.calendar.time_zone}), not {calendar.last_day} ({calendar.time_zone}). "
                "Remove it with `make clean`, or set INTENT_HOME to another folder."
            )
        return self.model_copy(update={"calendar": calendar})

    @property
    def logs(self) -> Path:
        """The folder of the logs of all servers."""
        return self.home / "logs"

    @property
    def postgres(self) -> postgres.Server:
        """The embedded database server."""
        password = SecretStr(self.secrets.postgres_admin)
        return postgres.Server(self.postgres_folder, self.ports["postgres"], password)

    def database_url(self, role: str, database: str = databases.SHOP) -> str:
        """Return the SQLAlchemy URL of a role, password included."""
        return self.postgres.url(database, role, self.secrets.roles[role]).get_secret_value()

    def address(self, server: str) -> str:
        """Return the web address of `mlflow` or `airflow`."""
        return f"http://127.0.0.1:{self.ports[server]}"


def choose_ports(existing: dict[str, int], chosen: dict[str, int]) -> dict[str, int]:
    """Return a port for each server: the requested one, else the last one, else a free one.

    Raises:
        Refused: a requested port is taken.
    """
    ports.require_free((f"INTENT_{name.upper()}_PORT", port) for name, port in chosen.items())
    free = dict(zip(SERVERS, ports.free_ports(len(SERVERS)), strict=True))
    last = {name: port for name, port in existing.items() if ports.is_free(port)}
    return {**free, **last, **chosen}


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner may read, atomically."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    part.touch(mode=0o600, exist_ok=False)
    part.write_text(text)
    part.replace(path)
