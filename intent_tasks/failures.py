"""The failure that each exception of a library stands for: the one place that decides.

Classes are listed by their dotted names, so that this module imports no library. An exception that
is not listed is a bug. Messages of servers and libraries may hold values of the shop. So only the
primary message of Postgres is shown, and only the names in the messages of other libraries.
"""

import errno
import re
from collections.abc import Callable
from typing import Any

from intent_tasks.errors import BadInput, IntentError, Refused, TemporaryFailure

# ── Postgres ──────────────────────────────────────────────────────────────────────────────────────

TEMPORARY_CLASSES = ("08", "40", "53", "55006", "55P03", "57", "58", "XX")
"""Prefixes of the SQLSTATEs of a failed connection, lock, memory or disk."""

LOG_IN_CLASSES = ("28", "3D")
"""Prefixes of the SQLSTATEs of a refused log-in and of a database that does not exist."""

_LOG_IN_WORDS = (
    "password authentication failed",
    "no password supplied",
    "is not permitted to log in",
    "no pg_hba.conf entry",
    '" does not exist',
    "authentication failed for user",
)
_ADDRESS = re.compile(r"invalid (dsn|port|URI|connection option|\w+ value)|could not match \d+ ")
"""While connecting, the driver passes no SQLSTATE on: the message decides."""

_ADVICE = {
    "22": "A value does not fit the type that a view or query turns it into: correct the view of "
    "schema shop, so that such a row has null there. To find it, read the view one column at a "
    "time, as with SELECT count(price).",
    "55": "Fill what is empty first, such as a materialized view with REFRESH MATERIALIZED VIEW.",
    "42": "Compare the table with docs/tables.md, and the grants of the role with its migration; "
    "where schema intent lacks something, run `intent migrate`.",
}
"""Class of SQLSTATE → what to do; else the view or query is to be corrected."""


def of_postgres(error: BaseException, setting: str = "the address of the database") -> IntentError:
    """Return the failure that an error of psycopg2, SQLAlchemy or ADBC stands for.

    Args:
        error: as the driver raised it, or SQLAlchemy around it.
        setting: that holds the address and log-in.
    """
    cause = getattr(error, "orig", None) or error
    state = getattr(cause, "pgcode", None) or getattr(cause, "sqlstate", None) or ""
    message = _primary(cause, state)
    if state[:2] in LOG_IN_CLASSES or (not state and _has(message, _LOG_IN_WORDS)):
        return Refused(f"Postgres refuses the log-in: {message}. Correct {setting}.")
    if not state and _ADDRESS.search(message):
        return BadInput(f"{setting} is no address that Postgres understands: {message}.")
    if state.startswith(TEMPORARY_CLASSES) or not (state or _is_of_the_query(cause)):
        return TemporaryFailure(
            f"Postgres did not finish the work: {message}. "
            "Nothing was changed. Check that the server runs; the step can simply be run again."
        )
    verb = "write" if state[:2] == "23" else "read"
    named = f" (SQLSTATE {state})" if state else ""
    advice = _ADVICE.get(state[:2], "Correct the view or the query.")
    if state == "42501":
        advice = _grant(message) or advice
    return Refused(f"Postgres refuses to {verb}: {message}{named}. {advice}")


_DENIED = re.compile(r'permission denied for ([a-z ]+) "?([^"]+?)"?')
_SHOP_TABLES = ("events", "products", "customers")


def _grant(message: str) -> str:
    """Return which right to grant for what Postgres denies; empty: it names nothing."""
    found = _DENIED.fullmatch(message)
    if found is None:
        return ""
    kind, name = found.groups()
    if kind == "function":
        return f"Grant it: GRANT EXECUTE ON FUNCTION {name} TO this role."
    if kind == "schema":
        return f"Grant it: GRANT USAGE ON SCHEMA {name} TO this role."
    if name in _SHOP_TABLES:
        return (
            f"Grant the whole table, not single columns: GRANT SELECT ON shop.{name} TO the role "
            "of INTENT_SHOP_URL, and GRANT USAGE ON SCHEMA shop."
        )
    return (
        f"Behind a view of schema shop: GRANT SELECT ON {name} TO the owner of the view. A table "
        "of schema intent: run `intent migrate`."
    )


def _has(message: str, words: tuple[str, ...]) -> bool:
    return any(word in message for word in words)


def _is_of_the_query(cause: BaseException) -> bool:
    """Return True if a driver without SQLSTATE blames the query, not the connection."""
    return type(cause).__name__ in ("ProgrammingError", "DataError", "NotSupportedError")


def _primary(cause: BaseException, state: str) -> str:
    """Return the primary message alone: DETAIL quotes rows, CONTEXT the values of a COPY."""
    if state.startswith("P0"):
        return "a function or trigger raises an error of its own"
    text = str(getattr(getattr(cause, "diag", None), "message_primary", None) or cause).strip()
    if state.startswith("22"):
        text = _without_values(text)
    lines = text.splitlines() or [type(cause).__name__]
    line = next((line for line in lines if "FATAL:" in line), lines[0])
    line = re.sub(r"^\w+: \[libpq\] [\w ]+: ", "", line)
    return _masked(re.sub(r"^.*?(ERROR|FATAL|PANIC): +", "", line).strip().rstrip("."))


def _without_values(text: str) -> str:
    """Return a message up to the value that it quotes, whatever that holds, and the type."""
    quote = re.search(r"['\"]", text)
    if quote is None:
        return text
    of_type = re.search(r"\" (is out of range for type [a-z ]+)", text)
    return f"{text[: quote.start()]}…" + (f" {of_type[1]}" if of_type else "")


def _masked(text: str) -> str:
    """Return a message without addresses: Postgres quotes the value that it cannot cast."""
    import pyarrow as pa

    from intent_tasks.core.identity import without_addresses

    masked: str = without_addresses(pa.chunked_array([[text]]))[0].as_py()
    return masked


# ── All other libraries ───────────────────────────────────────────────────────────────────────────

FULL_DISK = (errno.ENOSPC, errno.EDQUOT)

_MENDS = {
    errno.ENOENT: "there is no such file",
    errno.EISDIR: "it is a folder, not a file",
    errno.ENOTDIR: "a part of it is a file, not a folder",
    errno.EACCES: "this account may not",
    errno.EPERM: "this account may not",
    errno.EROFS: "its file system can only be read",
    errno.ENAMETOOLONG: "its name is too long",
    errno.ELOOP: "its links lead in a circle",
    errno.EEXIST: "it exists already",
    errno.EINVAL: "the system cannot use it",
    errno.EILSEQ: "its name cannot be written here",
    errno.EFBIG: "it is larger than files may be here",
}
"""Error of a file that a retry does not change → its explanation."""


def _of_file(error: Any) -> IntentError:  # noqa: ANN401 - an OSError of any library
    name = error.filename if isinstance(error.filename, str) else None
    place = f" {name!r}" if name else ""
    if error.errno in FULL_DISK:
        return TemporaryFailure(
            f"The disk is full at {name or 'the output or the state folder'}. Free some space and "
            "run this again."
        )
    if error.errno in _MENDS:
        return Refused(f"The file{place} cannot be used: {_MENDS[error.errno]}. Correct the path.")
    message = error.strerror or type(error).__name__
    return TemporaryFailure(
        f"The system failed{place and f' at{place}'}: {message}. Run this again."
    )


def _of_connection(error: Any) -> IntentError:  # noqa: ANN401
    return TemporaryFailure(
        f"A server could not be reached: {type(error).__name__}. Check that it runs (`intent "
        "status`), and run this again."
    )


def _of_memory(_: BaseException) -> IntentError:
    return TemporaryFailure(
        "There is not enough memory. Free some, or lower the numbers that were asked for, and run "
        "this again."
    )


def _of_text(error: Any) -> IntentError:  # noqa: ANN401
    encoding, reason = (getattr(error, n, "text") for n in ("encoding", "reason"))
    return BadInput(
        f"A text cannot be read or written as {encoding}: {reason}. Write it in UTF-8, without "
        "halves of characters."
    )


def _of_json(error: Any) -> IntentError:  # noqa: ANN401
    return BadInput(
        f"A text that must be JSON is none: {error.msg} in line {error.lineno}, column "
        f"{error.colno}. Correct it."
    )


def _of_toml(error: BaseException) -> IntentError:
    return BadInput(f"A file that must be TOML is none: {error}. Correct it.")


def _of_values(error: Any) -> IntentError:  # noqa: ANN401 - of pydantic: places, not values
    problems = "; ".join(
        f"{'.'.join(map(str, e['loc'])) or 'value'}: {e['msg']}" for e in error.errors()
    )
    return BadInput(f"Values cannot be used: {problems}.")


def _of_arrow(error: BaseException) -> IntentError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    message = re.sub(r"'[^']*'|\"[^\"]*\"", "…", lines[0])
    return Refused(f"Arrow cannot use the data: {message}. Compare it with docs/tables.md.")


def _of_address(error: BaseException) -> IntentError:
    return BadInput(f"An address of a database cannot be used: {error}. Correct the setting.")


def _of_expectations(error: BaseException) -> IntentError:
    return Refused(
        f"Great Expectations could not judge the data: {type(error).__name__}. That is not taken "
        "for a pass; compare thresholds.toml with docs/contract.md."
    )


def _of_number(_: BaseException) -> IntentError:
    return BadInput("A day or number is beyond what can be computed with. Take a usual one.")


KNOWN: dict[str, Callable[[Any], IntentError]] = {
    "sqlalchemy.exc.DBAPIError": of_postgres,
    "sqlalchemy.exc.ArgumentError": _of_address,
    "psycopg2.Error": of_postgres,
    "adbc_driver_manager.Error": of_postgres,
    "adbc_driver_manager._lib.Error": of_postgres,
    "pyarrow.lib.ArrowMemoryError": _of_memory,
    "pyarrow.lib.ArrowException": _of_arrow,
    "great_expectations.exceptions.exceptions.GreatExpectationsError": _of_expectations,
    "pydantic_core._pydantic_core.ValidationError": _of_values,
    "json.decoder.JSONDecodeError": _of_json,
    "tomllib.TOMLDecodeError": _of_toml,
    "builtins.ConnectionError": _of_connection,
    "builtins.TimeoutError": _of_connection,
    "socket.gaierror": _of_connection,
    "requests.exceptions.RequestException": _of_connection,
    "urllib.error.URLError": _of_connection,
    "builtins.OSError": _of_file,
    "builtins.UnicodeError": _of_text,
    "builtins.MemoryError": _of_memory,
    "builtins.OverflowError": _of_number,
}
"""Dotted name of a class → the failure that it and its subclasses stand for."""


def of(error: BaseException) -> IntentError | None:
    """Return the failure that an exception stands for; None: it is a bug."""
    if isinstance(error, IntentError):
        return error
    for kind in type(error).__mro__:
        if judge := KNOWN.get(f"{kind.__module__}.{kind.__qualname__}"):
            return judge(error)
    return None
