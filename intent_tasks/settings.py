"""All settings of an installation, read once from the environment and from one file.

Names carry the prefix `INTENT_`. The file is `intent.env` in the state folder (`INTENT_HOME`, by
default `.intent` below the working directory); the environment wins over the file.
"""

import os
import re
import sys
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from intent_tasks.database_url import is_of_postgres
from intent_tasks.definition import KNOWN_DAYS, Definition
from intent_tasks.errors import BadInput

SETTINGS_FILE = "intent.env"

NOT_ZONES = ("localtime", "posixrules", "Factory")
"""Files among the time zones that name no zone."""

MOST_DAYS = 3650
"""Maximum of each setting that counts days."""


class DatabaseUrl(SecretStr):
    """The address of a database, which knows the setting that holds it."""

    setting: str = ""


class AirflowSettings(BaseSettings):
    """The settings that DAGs and plugins read: when a step runs, and with which interpreter."""

    model_config = SettingsConfigDict(
        env_prefix="INTENT_",
        env_ignore_empty=True,
        frozen=True,
        extra="ignore",
    )

    time_zone: str = "UTC"
    """IANA name of the shop's time zone; its midnight ends a shop day."""
    daily_cron: str = "30 2 * * *"
    """When a day is predicted, in that zone, on the morning after it."""
    weekly_cron: str = "0 4 * * 1"
    """When a new version is trained, in that zone."""
    erase_cron: str = "0 1 * * *"
    """When the erasure requests of the shop are carried out, in that zone."""
    retention_cron: str = "0 5 * * *"
    """When data older than its limit is deleted, in that zone."""
    watch_cron: str = "0 8 * * *"
    """When missed shop days are looked for, in that zone."""
    collect_url: str = ""
    """Folder or object-store prefix whose new files of events are collected; empty: none."""
    collect_format: str = ""
    """Format of those files: a format's name, or the path of your own .toml file."""
    collect_cron: str = "30 1 * * *"
    """When new files are collected, in that zone: before the day is predicted."""
    last_day: date | None = None
    """Last day of a recorded shop: nothing is scheduled after it."""
    python: str = sys.executable
    """Interpreter that runs the steps; it may be of another environment than Airflow's."""
    step_start: Literal["fork", "spawn"] = "fork"
    """How a step starts: `fork` from a server that has imported the libraries, if one runs on the
    machine; `spawn` a new interpreter. Both compute the same."""
    fork_server_socket: str = ""
    """Unix socket of that server; empty: `fork_server.sock` in the state folder. Machines that
    share a state folder need a path of their own."""
    max_active_runs: int = 2
    """Days that may run at once; each needs the memory of one TensorFlow process a bucket."""
    pool: str = "default_pool"
    """Airflow pool that the steps wait for; create it before naming another."""
    retry_delay_seconds: int = 30
    """Wait before the first retry of a temporary failure; it doubles with each, up to 15 min."""
    step_timeout_seconds: int = 14_400
    """A step that runs longer is stopped and counts as failed."""

    @field_validator("time_zone")
    @classmethod
    def _a_zone(cls, value: str) -> str:
        if value in NOT_ZONES:
            raise ValueError(
                "must be the IANA name of a place, such as Europe/Stockholm: "
                f"{value} is different on each machine, or no zone"
            )
        try:
            ZoneInfo(value)
        except (OSError, KeyError, ValueError):
            raise ValueError("must be an IANA name, such as Europe/Stockholm") from None
        return value

    @field_validator(
        "daily_cron", "weekly_cron", "erase_cron", "retention_cron", "watch_cron", "collect_cron"
    )
    @classmethod
    def _a_cron(cls, value: str) -> str:
        from croniter import croniter  # Airflow's own judge; only where one is set

        if not value.isascii() or not croniter.is_valid(value):
            raise ValueError("must be five fields of cron, such as 30 2 * * *, or @daily")
        return value

    @field_validator("last_day")
    @classmethod
    def _a_known_day(cls, value: date | None) -> date | None:
        first, last = KNOWN_DAYS
        if value is not None and not first <= value <= last:
            raise ValueError(f"must be a day from {first} to {last}")
        return value

    @field_validator("max_active_runs", "step_timeout_seconds")
    @classmethod
    def _some(cls, value: int) -> int:
        if not 1 <= value <= 10**9:
            raise ValueError("must be at least 1")
        return value

    @field_validator("retry_delay_seconds")
    @classmethod
    def _a_wait(cls, value: int) -> int:
        if not 0 <= value <= 86_400:
            raise ValueError("must be 0 to 86400 seconds")
        return value

    @property
    def collects(self) -> bool:
        """True if new files are collected every night: both settings are set, the shop is live."""
        return bool(self.collect_url and self.collect_format) and self.last_day is None


class Settings(AirflowSettings):
    """One frozen set of settings; each step receives it as an argument."""

    model_config = SettingsConfigDict(env_prefix="INTENT_", frozen=True, extra="forbid")

    home: Path
    """State folder: snapshots, scores, model cache, Data Docs."""

    shop_url: SecretStr
    """SQLAlchemy URL that may read schema `shop` (role intent_extract)."""
    pipeline_url: SecretStr
    """SQLAlchemy URL that may write schema `intent` (role intent_pipeline)."""
    analyst_url: SecretStr
    """SQLAlchemy URL that may read the views (role intent_analyst)."""
    migrator_url: SecretStr
    """SQLAlchemy URL that owns schema `intent` (role intent_migrator)."""

    shop_owner_url: SecretStr | None = None
    """URL that may create and fill schema `shop`: only where it is simulated or collected."""
    collect_options: SecretStr = SecretStr("{}")
    """Options of fsspec for INTENT_COLLECT_URL, as JSON: {"key": "…", "secret": "…"}."""

    mlflow_url: str
    """Address of the MLflow server, without a log-in."""
    mlflow_username: str = ""
    """Log-in of the MLflow server; empty: the server needs none."""
    mlflow_password: SecretStr = SecretStr("")
    """Password of that log-in."""
    model_name: str = "purchase_intent"
    """Registered model whose alias `champion` serves."""
    require_approver: bool = False
    """Refuse a version that does not carry the tag `approved_by`."""

    identity_key: SecretStr
    """Key of the HMAC that turns customer_id into customer_key."""
    identity_key_id: str = "k1"
    """Name of that key, stored with every customer_key."""
    previous_identity_keys: dict[str, SecretStr] = {}
    """Earlier keys, name → key, as JSON: for `intent rotate-key` and for older tombstones."""
    manifest_key: SecretStr
    """Key that signs the manifests of model versions."""

    population_days: int = 30
    """Customers with an event in the last so many days are predicted."""
    history_days: int = 90
    """Events older than this, counted from the anchor, are not read."""
    maturity_lag_days: int = 1
    """Extra days after a horizon before its outcome counts as matured: events arrive late."""
    bucket_count: int = 4
    """Shards of customers; one process scores each."""
    recount_days: int = 3
    """Days before as_of_date that an extract counts again, for transactions that commit late."""
    empty_day: Literal["stop", "skip"] = "stop"
    """A day without events is a broken load (stop, exit 78) or a closed shop (skip, exit 99)."""
    product_content: bool = True
    """Extracts store titles and pictures of products from now on, and the network reads them; the
    gain: docs/quality.md."""
    quarantine_share: float = 0.05
    """Share of a day's rows that may be set aside (ten rows always may); above it the day is
    refused."""
    collect_quarantine_share: float = 0.5
    """Share of the rows in a file's first block that may be set aside (ten rows always may, but not
    all); above it the file counts as written in another format and is refused."""
    retention_days: dict[str, int] = {}
    """Limits that replace those in docs/privacy.md, place → days, as JSON: {"exports": 7}."""
    learn_without_consent: bool = False
    """Train also on customers who say no to personalisation: read docs/privacy.md first."""
    consent_not_recorded: bool = False
    """Confirm that shop.customers or its columns of consent were removed on purpose: read
    docs/privacy.md first."""
    no_consent_columns: list[str] = []
    """Columns of shop.customers, and fields of files of customers, that look like consent and are
    something else, as JSON: ["newsletter_popup_seen"]; see docs/privacy.md."""
    training_days: int = 60
    """Days of anchors in the training window."""
    model_encoder: str = "gru"
    """Encoder of the network: a module of `intent_tasks/models/encoders/`; see docs/model.md."""
    model_size: str = "nano"
    """Size of the network, `nano` to `xl`; see docs/model.md."""
    blend: bool = True
    """A version predicts with the network and LightGBM, blended with a fitted weight; false: with
    the network alone."""
    pretrained: bool = False
    """Task `pretrain` runs, and training starts from its weights: docs/pretraining.md."""
    mixed_precision: bool = False
    """Layers of the network compute in bfloat16 (losses and probabilities do not): faster and half
    the memory on a GPU, slower on most processors."""
    deterministic_training: bool = True
    """Training twice on the same data gives the same bytes; false: faster, above all on a GPU, and
    equal except for rounding."""
    seed: int = 20260101
    """Seed of every random choice."""

    @field_validator("model_name")
    @classmethod
    def _a_name_that_mlflow_takes(cls, value: str) -> str:
        unusable = set("/:") & set(value) or value.startswith("..") or value == "."
        if unusable or not value.strip() or not value.isprintable() or len(value) > 256:
            raise ValueError(
                "must be a name that MLflow takes: 1 to 256 characters that can be printed, "
                "without '/' and ':', not '.' and not beginning with '..'"
            )
        return value

    @field_validator("bucket_count", "population_days", "history_days", "training_days")
    @classmethod
    def _at_least_one(cls, value: int) -> int:
        if value < 1:
            raise ValueError("must be at least 1")
        if value > MOST_DAYS:
            raise ValueError(f"must be at most {MOST_DAYS}")
        return value

    @field_validator("maturity_lag_days", "recount_days")
    @classmethod
    def _no_days_or_more(cls, value: int) -> int:
        if not 0 <= value <= MOST_DAYS:
            raise ValueError(f"must be 0 to {MOST_DAYS} days")
        return value

    @field_validator("seed")
    @classmethod
    def _a_seed(cls, value: int) -> int:
        if not 0 <= value < 2**32:
            raise ValueError("must be 0 to 4294967295")
        return value

    @field_validator(
        "shop_url", "pipeline_url", "analyst_url", "migrator_url", "shop_owner_url", mode="after"
    )
    @classmethod
    def _an_address(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if value is None:
            return None
        named = DatabaseUrl(value.get_secret_value())
        named.setting = f"INTENT_{(info.field_name or '').upper()}"
        if not is_of_postgres(named.get_secret_value()):
            raise ValueError(
                "must be like postgresql://ROLE:PASSWORD@HOST:5432/DATABASE, and the password must "
                "be percent-encoded: write @ as %40, / as %2F, ? as %3F and a space as %20"
            )
        return named

    @field_validator("quarantine_share", "collect_quarantine_share")
    @classmethod
    def _a_share(cls, value: float) -> float:
        if not 0 <= value <= 1:
            raise ValueError("must be a share from 0 to 1")
        return value

    @property
    def definition(self) -> Definition:
        """The settings that define the prediction."""
        return Definition(
            self.time_zone, self.population_days, self.history_days, self.maturity_lag_days
        )


def check_mlflow_url(address: str) -> None:
    """Refuse an address of MLflow that no request could be sent to, or that holds a log-in.

    Raises:
        BadInput: without the address, which may hold a password.
    """
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", address):
        raise BadInput(
            "INTENT_MLFLOW_URL is no address of a server. Write it like http://HOST:5000."
        )
    if "@" in address:
        raise BadInput(
            "INTENT_MLFLOW_URL holds a log-in. Write that to INTENT_MLFLOW_USERNAME and "
            "INTENT_MLFLOW_PASSWORD, and the address like http://HOST:5000."
        )


def state_folder() -> Path:
    """Return the absolute path of the state folder, whether or not it exists."""
    return Path(os.environ.get("INTENT_HOME", ".intent")).absolute()


def load_settings() -> Settings:
    """Read the settings of this installation.

    Raises:
        BadInput: a setting is missing, unknown or out of range; all of them are named.
    """
    home = state_folder()
    return read(Settings, home / SETTINGS_FILE, home=home)


S = TypeVar("S", bound=AirflowSettings)


def read(kind: type[S], file: Path, **known: object) -> S:
    """Read settings from the environment and a file that need not exist.

    Args:
        kind: which of them.
        file: such as `intent.env`; the environment wins over it.
        known: fields that are not looked up.

    Raises:
        BadInput: as `load_settings`.
    """
    require_file(file)
    try:
        found = kind(_env_file=file, **known)  # type: ignore[call-arg, arg-type]
        if isinstance(found, Settings):
            check_mlflow_url(found.mlflow_url)
        return found
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not UTF-8. Write it anew.") from None
    except ValidationError as error:
        problems = "; ".join(_describe_problem(kind, problem) for problem in error.errors())
        raise BadInput(
            f"Settings are incomplete: {problems}. Set them in the environment or in "
            f"{file}; `intent up` writes that file for a local installation."
        ) from None
    except SettingsError as error:  # its text names the setting and holds no value
        raise BadInput(
            f"A setting that is written as JSON cannot be read: {error}. Write it like "
            f'{{"name": value}} in the environment or in {file}.'
        ) from None


def require_file(file: Path) -> None:
    """Refuse a folder, a link to nowhere or a pipe, from which reading would never end.

    Raises:
        BadInput: something that is no file is in its place.
    """
    if os.path.lexists(file) and not file.is_file():
        raise BadInput(f"{file} is no regular file, and settings are read from one. Replace it.")


def _describe_problem(kind: type[AirflowSettings], problem: Any) -> str:  # noqa: ANN401 - of pydantic
    name = "_".join(map(str, problem["loc"])).upper()
    if problem["type"] != "extra_forbidden":
        return f"INTENT_{name}: {problem['msg'].removeprefix('Value error, ')}"
    name = name.removeprefix("INTENT_")
    near = get_close_matches(name, [field.upper() for field in kind.model_fields], 1)
    return f"INTENT_{name} is no setting" + "".join(f"; meant INTENT_{each}?" for each in near)
