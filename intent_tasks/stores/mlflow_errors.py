"""Translate errors of MLflow and its HTTP libraries into failures with advice."""

import http.client
import textwrap
from urllib.parse import urlsplit

import requests
import urllib3

from intent_tasks.errors import BadInput, IntentError, Refused, TemporaryFailure
from intent_tasks.redaction import redact_text
from intent_tasks.settings import Settings, check_mlflow_url

UNREACHABLE = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
)
"""Errors of the HTTP libraries when MLflow cannot be reached."""
_BAD_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    urllib3.exceptions.LocationParseError,
)
_TEMPORARY = (408, 425, 429, 499)
"""HTTP statuses that may pass, in addition to those of 500 and more."""
_DENIED = (401, 403)

REASON_CHARACTERS = 200
"""Most characters of what MLflow answered that a message quotes."""


def require_address(settings: Settings) -> None:
    """Require that the address of MLflow is one, and holds no log-in.

    Raises:
        BadInput: it is not.
    """
    check_mlflow_url(settings.mlflow_url)
    try:
        parts = urlsplit(settings.mlflow_url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = None
    if not usable or not settings.mlflow_url.isprintable() or " " in settings.mlflow_url:
        raise _no_address()


def failure_of(settings: Settings, error: Exception) -> IntentError:
    """Return the failure for an error of MLflow or of its HTTP libraries."""
    from mlflow.exceptions import InvalidUrlException

    if isinstance(error, (InvalidUrlException, *_BAD_ADDRESS)):
        return _no_address()
    if isinstance(error, UnicodeError):
        return BadInput(
            "INTENT_MLFLOW_USERNAME or INTENT_MLFLOW_PASSWORD has bytes that are no UTF-8 text. "
            "Write them in UTF-8."
        )
    status = _status_of(error)
    if status in _DENIED:
        return Refused(
            f"MLflow at {settings.mlflow_url} refuses the log-in: check INTENT_MLFLOW_USERNAME and "
            f"INTENT_MLFLOW_PASSWORD, and what that account may do. It answered: {_reason(error)}."
        )
    if status is None or status >= 500 or status in _TEMPORARY:
        return TemporaryFailure(
            f"MLflow at {settings.mlflow_url} does not answer: {_reason(error)}. Check that it "
            "runs (`intent status`); the step can simply be run again."
        )
    return Refused(
        f"MLflow at {settings.mlflow_url} refuses this (model {settings.model_name}): "
        f"{_reason(error)}. Check INTENT_MLFLOW_URL and INTENT_MODEL_NAME, and what the MLflow UI "
        "shows of them."
    )


def cut(settings: Settings, path: str) -> TemporaryFailure:
    """Return the failure of a download that MLflow did not finish."""
    return TemporaryFailure(
        f"MLflow at {settings.mlflow_url} does not answer: the download of {path} ended early. "
        "Check that it runs (`intent status`); the step can simply be run again."
    )


def _no_address() -> BadInput:
    return BadInput(
        "INTENT_MLFLOW_URL is no address of a server. Write it like http://127.0.0.1:5000."
    )


def _status_of(error: Exception) -> int | None:
    """Return the HTTP status of an error; None if there was no answer."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return int(error.response.status_code)
    read_status = getattr(error, "get_http_status_code", None)
    return int(read_status()) if read_status else None


def _reason(error: Exception) -> str:
    if _is_refused_connection(error):
        return "nobody listens there"
    lines = [line.strip() for line in redact_text(str(error)).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    return textwrap.shorten(reason, REASON_CHARACTERS, placeholder=" …").rstrip(".")


def _is_refused_connection(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ConnectionRefusedError):
        error = error.__cause__ or error.__context__
    return error is not None
