"""The configuration files of the local servers and of the steps."""

import configparser
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import dotenv
from dotenv.parser import parse_stream

import intent_tasks
from intent_tasks.errors import BadInput, Refused
from intent_tasks.local import databases
from intent_tasks.local.installation import Installation, write_private
from intent_tasks.settings import SETTINGS_FILE, AirflowSettings, Settings, read, require_file

CHECKOUT = Path(intent_tasks.__file__).parent.parent
"""The folder of `dags/` and `plugins/`."""

USER = "admin"
"""Log-in name at MLflow and Airflow."""

CALLER_PREFIXES = ("AIRFLOW", "INTENT_", "MLFLOW_", "PG", "SUPERVISOR_")
"""Variables of the caller that do not reach the servers, which read settings from `intent.env`."""

MANAGED: Mapping[str, Callable[[Installation], str]] = {
    "INTENT_SHOP_URL": lambda installation: installation.database_url("intent_extract"),
    "INTENT_PIPELINE_URL": lambda installation: installation.database_url("intent_pipeline"),
    "INTENT_ANALYST_URL": lambda installation: installation.database_url("intent_analyst"),
    "INTENT_MIGRATOR_URL": lambda installation: installation.database_url("intent_migrator"),
    "INTENT_SHOP_OWNER_URL": lambda installation: installation.database_url("intent_shop_owner"),
    "INTENT_MLFLOW_URL": lambda installation: installation.address("mlflow"),
    "INTENT_MLFLOW_USERNAME": lambda _: USER,
    "INTENT_MLFLOW_PASSWORD": lambda installation: installation.secrets.mlflow,
    "INTENT_MANIFEST_KEY": lambda installation: installation.secrets.manifest_key,
    "INTENT_LAST_DAY": lambda installation: str(installation.calendar.last_day or ""),
}
"""Settings that a local installation sets itself; all others are the user's."""

NOTE = """\
# `intent up` rewrites the addresses, the passwords and the last day. Other lines, also those that
# you add, stay as they are; a setting in the environment of `intent up` replaces its line.
"""


def write_all(installation: Installation) -> None:
    """Write the files of all servers and of the steps, each readable only by its owner."""
    for folder in ("airflow", "mlflow", "logs"):
        (installation.home / folder).mkdir(exist_ok=True, mode=0o700)
    write_settings(installation)
    airflow = installation.home / "airflow"
    write_private(airflow / "airflow.cfg", _ini(airflow_sections(installation)))
    write_private(airflow / "passwords.json", json.dumps({USER: installation.secrets.airflow}))
    mlflow = installation.home / "mlflow"
    write_private(mlflow / "auth.ini", _ini({"mlflow": mlflow_authentication(installation)}))


def require_no_conflict(home: Path) -> None:
    """Check that the environment sets nothing that the local installation sets itself.

    Raises:
        Refused: it does; the message names each such setting.
    """
    file = read_settings_file(home)
    conflicts = [n for n in MANAGED if os.environ.get(n) and os.environ[n] != file.get(n)]
    if conflicts:
        raise Refused(
            f"{', '.join(conflicts)}: set in the environment, but local servers have their "
            "own. Unset it. Pass the last day of a recorded shop to `intent up --last-day`. For "
            "servers elsewhere see docs/deployment.md."
        )


def time_zone(home: Path) -> str:
    """Return the shop's time zone from the environment, else from `intent.env`.

    Raises:
        BadInput: there is no such zone.
    """
    return read(AirflowSettings, home / SETTINGS_FILE).time_zone


def write_settings(installation: Installation) -> set[str]:
    """Write `intent.env`, and return the names of the settings that changed.

    Raises:
        BadInput: a setting is unknown or out of range; the file is unchanged.
    """
    file = installation.home / SETTINGS_FILE
    before, values = read_settings_file(installation.home), settings_of(installation)
    draft = file.with_name(file.name + ".draft")
    write_private(draft, _replace_values(file.read_text() if file.exists() else NOTE, values))
    try:
        read(Settings, draft, home=installation.home)
    except BadInput as error:
        draft.unlink()
        raise BadInput(str(error).replace(str(draft), str(file))) from None
    draft.replace(file)
    return {name for name, value in values.items() if before.get(name, "") != value}


def settings_of(installation: Installation) -> dict[str, str]:
    """Return the settings by name: what is set, else defaults for one small machine."""
    defaults = {
        "INTENT_IDENTITY_KEY": installation.secrets.identity_key,
        # Each bucket is a process, which takes seconds to start and computes with two threads.
        "INTENT_BUCKET_COUNT": str(max(1, (os.cpu_count() or 1) // 2)),
        "INTENT_MODEL_SIZE": "nano",
        "INTENT_RETRY_DELAY_SECONDS": "10",
        # A day of a recording without events was closed: no later load will fill it.
        **({"INTENT_EMPTY_DAY": "skip"} if installation.calendar.last_day else {}),
    }
    managed = {name: value(installation) for name, value in MANAGED.items()}
    zone = {"INTENT_TIME_ZONE": installation.calendar.time_zone}
    return defaults | read_settings_file(installation.home) | _in_environment() | zone | managed


def airflow_settings(installation: Installation) -> dict[str, str]:
    """Return the settings that DAGs and plugins read from Airflow's environment."""
    return {
        n: v for n, v in settings_of(installation).items() if n in setting_names(AirflowSettings)
    }


def read_settings_file(home: Path) -> dict[str, str]:
    """Return the settings in `intent.env` of a state folder, unparsed.

    Raises:
        BadInput: it is no regular file.
    """
    require_file(home / SETTINGS_FILE)
    values = dotenv.dotenv_values(home / SETTINGS_FILE, interpolate=False)
    return {name: value for name, value in values.items() if value}


def _in_environment() -> dict[str, str]:
    known = setting_names(Settings) - {"INTENT_HOME"}
    return {name: os.environ[name] for name in sorted(known) if os.environ.get(name)}


def setting_names(kind: type[AirflowSettings]) -> set[str]:
    """Return the names of the environment variables of settings."""
    return {f"INTENT_{name.upper()}" for name in kind.model_fields}


def _replace_values(text: str, values: Mapping[str, str]) -> str:
    """Return the text of an env file with these values; comments and order are preserved."""
    lines = {name: f"{name}={_quoted(value)}\n" for name, value in values.items()}
    replaced = [
        lines.pop(binding.key or "", "") if binding.key in values else binding.original.string
        for binding in parse_stream(io.StringIO(text.rstrip("\n") + "\n"))
    ]
    return "".join([*replaced, *lines.values()])


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def airflow_sections(installation: Installation) -> dict[str, dict[str, object]]:
    """Return the options that differ from Airflow's defaults, for one small machine."""
    home = installation.home / "airflow"
    return {
        "core": {
            "dags_folder": CHECKOUT / "dags",
            "plugins_folder": CHECKOUT / "plugins",
            "executor": "LocalExecutor",
            "parallelism": 3,
            "load_examples": False,
            "fernet_key": installation.secrets.airflow_fernet,
            "execution_api_server_url": installation.address("airflow") + "/execution/",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": home / "passwords.json",
        },
        "database": {"sql_alchemy_conn": installation.database_url("airflow", "airflow")},
        "api": {
            "host": "127.0.0.1",
            "port": installation.ports["airflow"],
            "base_url": installation.address("airflow"),
            "workers": 1,
            "secret_key": installation.secrets.airflow_sessions,
        },
        "api_auth": {"jwt_secret": installation.secrets.airflow_tokens},
        "scheduler": {
            "task_instance_heartbeat_timeout": 60,
            "task_queued_timeout": 3600,
            # A round takes 18 ms of processor time, also where there is nothing to do: sleeping for
            # 0.6 s instead of the default 1 s costs 2 % of a core, and saves a second a daily run.
            "scheduler_idle_sleep_time": 0.6,
            "pool_metrics_interval": 60,
        },
        "execution_api": {"jwt_expiration_time": 3600},
        "dag_processor": {
            "refresh_interval": 60,
            "bundle_refresh_check_interval": 30,
            "min_file_process_interval": 120,  # a changed file is read at once, see dag_processor
            "parsing_processes": 1,
        },
        "logging": {
            "base_log_folder": home / "logs",
            "colored_console_log": False,
            "file_task_handler_new_folder_permissions": "0o700",
            "file_task_handler_new_file_permissions": "0o600",
        },
        "usage_data_collection": {"enabled": False},
    }


def mlflow_authentication(installation: Installation) -> dict[str, object]:
    """Return MLflow's options of authentication: only the administrator has access."""
    return {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": installation.database_url("mlflow", "mlflow"),
        "admin_username": USER,
        "admin_password": installation.secrets.mlflow,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
        # Comparing a password with its hash takes a tenth of a second or more; a pin asks 40 times.
        "auth_cache_ttl_seconds": 300,
    }


def mlflow_environment(installation: Installation) -> dict[str, str]:
    """Return the environment variables of the MLflow server."""
    port = installation.ports["mlflow"]
    hosts = (f"127.0.0.1:{port}", f"localhost:{port}")
    return {
        "MLFLOW_BACKEND_STORE_URI": installation.database_url("mlflow", databases.OWNERS["mlflow"]),
        "MLFLOW_ARTIFACTS_DESTINATION": (installation.home / "mlflow" / "artifacts").as_uri(),
        "MLFLOW_AUTH_CONFIG_PATH": str(installation.home / "mlflow" / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": installation.secrets.mlflow_sessions,
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(hosts),
        "MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(f"http://{host}" for host in hosts),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def shared_environment(installation: Installation) -> dict[str, str]:
    """Return the environment variables of all servers."""
    inherited = {name: v for name, v in os.environ.items() if not name.startswith(CALLER_PREFIXES)}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    # Not in supervisord's configuration file, because its quoting changes some values.
    return (
        inherited
        | airflow_settings(installation)
        | {
            "INTENT_HOME": str(installation.home),
            "AIRFLOW_HOME": str(installation.home / "airflow"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "GX_ANALYTICS_ENABLED": "False",
            "PYTHONUTF8": "1",
            "PYTHONUNBUFFERED": "1",
        }
    )


def _ini(sections: dict[str, dict[str, object]]) -> str:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_dict(
        {
            section: {name: str(value).replace("%", "%%") for name, value in options.items()}
            for section, options in sections.items()
        }
    )
    text = io.StringIO()
    parser.write(text)
    return text.getvalue()
