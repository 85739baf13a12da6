"""The configuration files of the local servers and of the steps."""

import configparser
import io
import json
import os
import sys
from pathlib import Path

import intent_tasks
from intent_tasks.local import databases
from intent_tasks.local.installation import Installation, write_private
from intent_tasks.settings import SETTINGS_FILE

CHECKOUT = Path(intent_tasks.__file__).parent.parent
"""Where `dags/` and `plugins/` are."""

USER = "admin"
"""Log-in name at MLflow and Airflow."""

FOREIGN = ("AIRFLOW", "INTENT_", "MLFLOW_", "PG", "SUPERVISOR_")
"""Variables of the caller that must not reach the servers."""


def write_all(installation: Installation) -> None:
    """Write the files of all servers and of the steps, each readable by us alone."""
    for folder in ("airflow", "mlflow", "logs"):
        (installation.home / folder).mkdir(exist_ok=True, mode=0o700)
    write_private(installation.home / SETTINGS_FILE, step_settings(installation))
    airflow = installation.home / "airflow"
    write_private(airflow / "airflow.cfg", _ini(airflow_sections(installation)))
    write_private(airflow / "passwords.json", json.dumps({USER: installation.secrets.airflow}))
    mlflow = installation.home / "mlflow"
    write_private(mlflow / "auth.ini", _ini({"mlflow": mlflow_log_in(installation)}))


def step_settings(installation: Installation) -> str:
    """Return the text of `intent.env`."""
    values = {
        "INTENT_SHOP_URL": installation.database_url("intent_extract"),
        "INTENT_PIPELINE_URL": installation.database_url("intent_pipeline"),
        "INTENT_ANALYST_URL": installation.database_url("intent_analyst"),
        "INTENT_MIGRATOR_URL": installation.database_url("intent_migrator"),
        "INTENT_SHOP_OWNER_URL": installation.database_url("intent_shop_owner"),
        "INTENT_MLFLOW_URL": installation.address("mlflow"),
        "INTENT_MLFLOW_USERNAME": USER,
        "INTENT_MLFLOW_PASSWORD": installation.secrets.mlflow,
        "INTENT_IDENTITY_KEY": installation.secrets.identity_key,
        "INTENT_MANIFEST_KEY": installation.secrets.manifest_key,
        # Each bucket is a process, which takes seconds to start and computes with two threads.
        "INTENT_BUCKET_COUNT": str(max(1, (os.cpu_count() or 1) // 2)),
        "INTENT_MODEL_SIZE": "nano",
        # In a recording, a day without events is a closed shop: no load will mend it.
        **({"INTENT_EMPTY_DAY": "skip"} if installation.calendar.last_day else {}),
        **schedule(installation),
    }
    return "".join(f"{name}='{value}'\n" for name, value in values.items())


def schedule(installation: Installation) -> dict[str, str]:
    """Return the settings that Airflow's side reads too, from its environment."""
    last_day = installation.calendar.last_day
    return {
        "INTENT_TIME_ZONE": installation.calendar.time_zone,
        **({"INTENT_LAST_DAY": last_day.isoformat()} if last_day else {}),
        "INTENT_PYTHON": sys.executable,
        "INTENT_RETRY_DELAY_SECONDS": "10",
    }


def airflow_sections(installation: Installation) -> dict[str, dict[str, object]]:
    """Return what differs from Airflow's defaults on one small machine."""
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
            # Of the 1.1 s between two tasks, 0.8 s are the default sleep of 1 s between two rounds.
            "scheduler_idle_sleep_time": 0.2,
        },
        "execution_api": {"jwt_expiration_time": 3600},
        "dag_processor": {"refresh_interval": 15, "parsing_processes": 1},
        "logging": {"base_log_folder": home / "logs", "colored_console_log": False},
        "usage_data_collection": {"enabled": False},
    }


def mlflow_log_in(installation: Installation) -> dict[str, object]:
    """Return MLflow's settings of log-ins: nobody but the administrator sees anything."""
    return {
        "default_permission": "NO_PERMISSIONS",
        "database_uri": installation.database_url("mlflow", "mlflow"),
        "admin_username": USER,
        "admin_password": installation.secrets.mlflow,
        "authorization_function": "mlflow.server.auth:authenticate_request_basic_auth",
    }


def mlflow_environment(installation: Installation) -> dict[str, str]:
    """Return the variables of the MLflow server; the address of its database is among them."""
    port = installation.ports["mlflow"]
    return {
        "MLFLOW_BACKEND_STORE_URI": installation.database_url("mlflow", databases.OWNERS["mlflow"]),
        "MLFLOW_ARTIFACTS_DESTINATION": (installation.home / "mlflow" / "artifacts").as_uri(),
        "MLFLOW_AUTH_CONFIG_PATH": str(installation.home / "mlflow" / "auth.ini"),
        "MLFLOW_FLASK_SERVER_SECRET_KEY": installation.secrets.mlflow_sessions,
        "MLFLOW_SERVER_ALLOWED_HOSTS": f"127.0.0.1:{port},localhost:{port}",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
    }


def shared_environment(installation: Installation) -> dict[str, str]:
    """Return the variables of all servers: ours without what the caller meant for others."""
    kept = {name: v for name, v in os.environ.items() if not name.startswith(FOREIGN)}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {
        "INTENT_HOME": str(installation.home),
        "AIRFLOW_HOME": str(installation.home / "airflow"),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GX_ANALYTICS_ENABLED": "False",
        "PYTHONUTF8": "1",
        "PYTHONUNBUFFERED": "1",
    }


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
