"""What a local installation is: its folder, its ports, and the secrets made for it once.

All of it is in `local.json` (mode 0600) in the state folder, from which every configuration file is
written anew at each start, because a port may have been taken by somebody else meanwhile.
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
"""Who gets a port."""


def _password() -> str:
    return secrets.token_urlsafe(18)


def _fernet_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


class WantedPorts(BaseSettings):
    """Ports somebody wants, as INTENT_AIRFLOW_PORT=8080; a free one is taken for the others."""

    model_config = SettingsConfigDict(env_prefix="INTENT_", frozen=True, extra="ignore")

    supervisor_port: int | None = None
    postgres_port: int | None = None
    mlflow_port: int | None = None
    airflow_port: int | None = None

    def by_server(self) -> dict[str, int]:
        """Return the ports that were asked for, by server."""
        wanted = {name: getattr(self, f"{name}_port") for name in SERVERS}
        return {name: port for name, port in wanted.items() if port is not None}


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
    """How days are counted in the shop that is served.

    Args:
        time_zone: IANA name; its midnight ends a shop day.
        last_day: the last day of a shop that is a recording.
    """

    model_config = {"frozen": True}

    time_zone: str = "UTC"
    last_day: date | None = None


class Installation(BaseModel):
    """One local installation, all of it below `home` unless the database may not go there."""

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
        """Return the installation in that folder with ports that are free, made if need be.

        Raises:
            Refused: a port that was asked for is taken, or the folder serves another shop.
        """
        home.mkdir(parents=True, exist_ok=True)
        home.chmod(0o711 if os.geteuid() == 0 else 0o700)
        known = cls.load(home)
        if known:
            chosen = choose_ports(known.ports, WantedPorts().by_server())
            installation = known.serving(calendar).model_copy(update={"ports": chosen})
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
        """Write what `load` reads."""
        write_private(self.home / STATE_FILE, self.model_dump_json(indent=1))

    def serving(self, calendar: Calendar | None) -> Self:
        """Return this installation with that calendar; None keeps the one it has.

        The time zone of a shop that goes on may change.

        Raises:
            Refused: it serves another shop, or a recording that was loaded by another zone's days.
        """
        calendar = calendar or self.calendar
        lives = calendar.last_day is None and self.calendar.last_day is None
        if calendar != self.calendar and not lives:
            raise Refused(
                f"{self.home} serves a shop whose last day is {self.calendar.last_day} "
                f"({self.calendar.time_zone}), not {calendar.last_day} ({calendar.time_zone}). "
                "Remove it with `make clean`, or set INTENT_HOME to another folder for another "
                "shop or INTENT_TIME_ZONE."
            )
        return self.model_copy(update={"calendar": calendar})

    @property
    def logs(self) -> Path:
        """Where all servers write."""
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


def choose_ports(known: dict[str, int], wanted: dict[str, int]) -> dict[str, int]:
    """Return a port per server: the one asked for, else the last one, else a free one.

    Raises:
        Refused: a port that was asked for is taken.
    """
    ports.require_free((f"INTENT_{name.upper()}_PORT", port) for name, port in wanted.items())
    fresh = dict(zip(SERVERS, ports.free_ports(len(SERVERS)), strict=True))
    last = {name: port for name, port in known.items() if ports.is_free(port)}
    return {**fresh, **last, **wanted}


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner may read, whole or not at all."""
    begun = path.with_name(path.name + ".part")
    begun.unlink(missing_ok=True)
    begun.touch(mode=0o600, exist_ok=False)
    begun.write_text(text)
    begun.replace(path)
