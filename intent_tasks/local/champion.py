"""The champion's version, asked of MLflow's REST API: its client takes seconds to import."""

import base64
import json
import urllib.error
import urllib.request
from http import HTTPStatus
from http.client import HTTPException
from urllib.parse import urlencode

from intent_tasks.errors import Refused, TemporaryFailure
from intent_tasks.settings import Settings, check_mlflow_url

PATH = "/api/2.0/mlflow/registered-models/alias"
TIMEOUT_SECONDS = 30


def read_champion(settings: Settings) -> int | None:
    """Return the version number of the alias `champion`, or None.

    Raises:
        TemporaryFailure: the server does not answer.
        Refused: the server refuses the log-in or the request, or its address holds a log-in.
    """
    check_mlflow_url(settings.mlflow_url)
    query = urlencode({"name": settings.model_name, "alias": "champion"})
    request = urllib.request.Request(f"{settings.mlflow_url.rstrip('/')}{PATH}?{query}")  # noqa: S310 - http or https, checked with the settings
    if settings.mlflow_username:
        login = f"{settings.mlflow_username}:{settings.mlflow_password.get_secret_value()}"
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return int(json.load(response)["model_version"]["version"])
    except urllib.error.HTTPError as error:
        _require_no_version(settings, error)
        return None
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        raise _no_answer(settings, type(error).__name__) from error


def _require_no_version(settings: Settings, error: urllib.error.HTTPError) -> None:
    """Raise for every answer but the one that there is no such model or alias."""
    with error:
        code = _error_code(error)
    if code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
        return
    if error.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _no_answer(settings, f"HTTP {error.code}")
    raise Refused(
        f"MLflow at {settings.mlflow_url} refuses the request (HTTP {error.code}). Check "
        "INTENT_MLFLOW_URL, INTENT_MLFLOW_USERNAME and INTENT_MLFLOW_PASSWORD."
    )


def _error_code(error: urllib.error.HTTPError) -> str | None:
    try:
        answer = json.load(error)
    except ValueError:
        return None
    return answer.get("error_code") if isinstance(answer, dict) else None


def _no_answer(settings: Settings, reason: str) -> TemporaryFailure:
    return TemporaryFailure(
        f"MLflow at {settings.mlflow_url} does not answer: {reason}. Start the servers with "
        "`intent up`, then try again."
    )
