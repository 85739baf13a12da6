"""Addresses and texts of libraries as they are shown and stored: without log-ins and signatures."""

import re
from collections.abc import Iterable
from urllib.parse import unquote

_SCHEME = r"([a-z][a-z0-9+.-]*)://"
_LOG_INS = tuple(
    re.compile(_SCHEME + log_in, re.IGNORECASE)
    for log_in in (
        r"([^/?#]*)@",  # of an address: a password may hold a space
        r"([^/?#@:\[]+:(?!:|\d*(?:[/?#]|$))[^@]*)@",  # and a slash, which no port can
    )
)
_LOG_INS_IN_TEXT = tuple(
    re.compile(pattern.pattern.replace("[^", r"[^\s'\"<>"), re.IGNORECASE) for pattern in _LOG_INS
)
_QUERY = re.compile(r"(https?://[^?#\s'\"]*)[?#][^\s'\"]*", re.IGNORECASE)
"""Where an object store signs addresses, the signature is in the query."""

_CONTAINER_SCHEMES = ("abfs", "abfss", "az", "adl", "wasb", "wasbs")
"""Before the @ of these stands a container, unless there is a colon too."""

_LEAST_CHARACTERS = 4
"""A shorter secret is not looked for in a text, of which it may be a part by chance."""


def redact_address(address: str) -> str:
    """Return an address without log-in; one of HTTP also without query, which may hold a token."""
    for pattern in _LOG_INS:
        address = pattern.sub(_remove_log_in, address)
    return _QUERY.sub(r"\1", address)


def redact_text(text: str, secrets: Iterable[str] = ()) -> str:
    """Return a text in which each address is redacted.

    Args:
        text: as a library or server words it.
        secrets: what else it may quote, such as `secrets_of` an address.
    """
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _LEAST_CHARACTERS:
            text = text.replace(secret, "…")
    for pattern in _LOG_INS_IN_TEXT:
        text = pattern.sub(_remove_log_in, text)
    return _QUERY.sub(r"\1", text)


def secrets_of(address: str) -> set[str]:
    """Return the log-in, password and query of an address, as they are and percent-decoded."""
    log_ins = {
        match[2] for pattern in _LOG_INS for match in pattern.finditer(address)
        if _remove_log_in(match) != match[0]
    }  # fmt: skip
    found = log_ins | {log_in.partition(":")[2] for log_in in log_ins}
    found |= {query[0].removeprefix(query[1])[1:] for query in _QUERY.finditer(address)}
    return found | {unquote(each) for each in found}


def _remove_log_in(match: re.Match[str]) -> str:
    scheme, log_in = match[1], match[2]
    if scheme.lower() in _CONTAINER_SCHEMES and ":" not in log_in:
        return match[0]
    return f"{scheme}://"
