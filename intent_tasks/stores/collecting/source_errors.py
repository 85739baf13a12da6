"""What file systems raise, as failures: a store that is down is asked again, a refusal is not.

Each store has errors of its own. They are known by dotted names, so that no library is imported.
"""

import errno
import re
from collections.abc import Collection, Iterator

from intent_tasks.errors import BadInput, IntentError, Refused, TemporaryFailure
from intent_tasks.redaction import redact_address, redact_text, secrets_of

_CONNECTION_CLASSES = {
    "builtins.ConnectionError",
    "builtins.TimeoutError",
    "builtins.EOFError",  # of FTP: the server hung up
    "socket.gaierror",
    "aiohttp.client_exceptions.ClientConnectionError",
    "aiohttp.client_exceptions.ClientPayloadError",
    "azure.core.exceptions.ServiceRequestError",
    "azure.core.exceptions.ServiceResponseError",
    "botocore.exceptions.HTTPClientError",
    "botocore.exceptions.IncompleteReadError",
    "ftplib.error_temp",
    "google.auth.exceptions.TransportError",
    "paramiko.ssh_exception.NoValidConnectionsError",
    "requests.exceptions.ChunkedEncodingError",
    "requests.exceptions.ConnectionError",
    "requests.exceptions.Timeout",
    "urllib3.exceptions.HTTPError",
}
"""Of connections that are refused, cut or too slow; and all their subclasses."""

_CONNECTION_NUMBERS = {
    errno.EBUSY, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH,
    errno.EREMOTEIO, errno.ESTALE,
}  # fmt: skip

_LATER = {408, 425, 429}
"""Answers of HTTP that may be others in a minute, beside those of 500 and more."""


def failure_of(url: str, error: BaseException, secrets: Collection[str] = ()) -> IntentError:
    """Return the failure that an error of a file system stands for.

    Args:
        url: of the place or file.
        error: as the file system raised it.
        secrets: that the error may quote, beside those of the address.
    """
    shown, reason = redact_address(url), _reason(error, {*secrets, *secrets_of(url)})
    if is_temporary(error):
        return TemporaryFailure(
            f"{shown} does not answer: {reason}. What was loaded stays. Check that the server "
            "runs; the same call continues where it was."
        )
    if isinstance(error, PermissionError):
        return Refused(
            f"{shown} may not be read ({reason}). Give this account the right to read it, or the "
            "credentials in INTENT_COLLECT_OPTIONS."
        )
    if option := re.search(r"unexpected keyword argument '(\w+)'", str(error)):
        return BadInput(
            f"INTENT_COLLECT_OPTIONS has {option[1]!r}, an option that {url.split('://')[0]}:// "
            "does not take. Compare it with the options of that file system of fsspec."
        )
    return Refused(
        f"{shown} cannot be reached: {reason}. Check the address, and the credentials in "
        "INTENT_COLLECT_OPTIONS or in the environment."
    )


def is_temporary(error: BaseException) -> bool:
    """Return True if the store, or the way to it, failed: the same call may work in a minute."""
    for each in _chain(error):
        if "CERTIFICATE_VERIFY_FAILED" in str(each):
            return False
        names = {f"{kind.__module__}.{kind.__qualname__}" for kind in type(each).__mro__}
        if names & _CONNECTION_CLASSES or getattr(each, "errno", None) in _CONNECTION_NUMBERS:
            return True
        status = _status_of(each)
        if status is not None:
            return status >= 500 or status in _LATER
    return False


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error and what caused it: fsspec hides a failed connection behind a missing file."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _status_of(error: BaseException) -> int | None:
    """Return the status of the answer of HTTP that an error is about, or None."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):  # of botocore
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return found if isinstance(found, int) else None
    places: list[tuple[object, str]] = [(error, name) for name in ("status", "status_code", "code")]
    for owner, name in [*places, (response, "status_code")]:
        text = str(getattr(owner, name, ""))
        if text.isdecimal() and 100 <= int(text) < 600:
            return int(text)
    return None


def _reason(error: BaseException, secrets: Collection[str]) -> str:
    text = " ".join(redact_text(str(error), secrets).split())
    return text.rstrip(".:") or type(error).__name__
