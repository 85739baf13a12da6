"""What MLflow and the libraries below it raise, as failures that a person can act on."""

import http.client
import textwrap
from urllib.parse import urlsplit

import requests
import urllib3

from intent_tasks.errors import BadInput, IntentError, Refused, TemporaryFailure
from intent_tasks.redaction import redact_text
from intent_tasks.settings import Settings, check_mlflow_url

AWAY = (
    requests.RequestException,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    ConnectionError,
    TimeoutError,
)
"""Raised by what carries requests to MLflow and files from it."""
_BAD_ADDRESS = (
    requests.exceptions.InvalidURL,
    requests.exceptions.MissingSchema,
    requests.exceptions.InvalidSchema,
    urllib3.exceptions.LocationParseError,
)
_LATER = (408, 425, 429, 499)
"""Answers that may be others in a minute, beside those of 500 and more."""
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
    """Return the failure that stands for an error of MLflow or of what carries its answers."""
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
    if status is None or status >= 500 or status in _LATER:
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
    """Return the status of the answer behind an error; None: there was no answer."""
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return int(error.response.status_code)
    ask = getattr(error, "get_http_status_code", None)
    return int(ask()) if ask else None


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
