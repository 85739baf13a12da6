"""Read times that are written as text or as numbers."""

import re
from collections.abc import Iterable

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.formats import numbers
from intent_tasks.formats.columns import INSTANT

_UNITS = {"seconds": 1_000_000, "milliseconds": 1_000, "microseconds": 1}
_LATEST_SECONDS = 32_503_680_000
"""The year 3000: a later number is in another unit."""

_ZONED = r"\d[T ]\d.*(Z|[+-]\d\d?(:?\d\d)?)$"
"""A time of any length with an offset; a date alone ends in -30 too."""

_WITHOUT_DAY = r"^\d{4}(\D?\d\d?)?$"
"""A year or a month, which pandas reads as its first day."""


def read(text: pa.Array, ways: Iterable[str], zone: str) -> pa.Array:
    """Return the times of texts, each in the first way in which it can be read."""
    merged: pa.Array | None = None
    for way in ways:
        times = read_one(text, way, zone)
        merged = times if merged is None else pc.coalesce(merged, times)
        if merged.null_count == 0:
            break
    return merged


def read_one(text: pa.Array, way: str, zone: str) -> pa.Array:
    """Return the times that can be read in one way; null for any other text."""
    if way in _UNITS:
        counts = numbers.floats(text)
        limit = _LATEST_SECONDS * 1e6 / _UNITS[way]
        fits = pc.fill_null(pc.less(pc.abs(counts), limit), False)
        micros = pc.multiply(pc.if_else(fits, counts, None), float(_UNITS[way]))
        return pc.round(micros).cast(pa.int64()).cast(INSTANT)
    if way != "iso":
        return instants(_by_pattern(text, way), zone)
    try:
        bare = pc.utf8_rtrim(text, characters=" UTCZ") if zone == "UTC" else text
        return instants(bare.cast(pa.timestamp("us")), zone)
    except pa.ArrowInvalid:
        return _slow_iso(text, zone)


def _by_pattern(text: pa.Array, way: str) -> pa.Array:
    """Read times of a pattern; Arrow reads the 30th of February as the 2nd of March."""
    parsed = pc.strptime(text, format=way, unit="us", error_is_null=True)
    if way.endswith("%z"):  # the local day, not the one in UTC
        bare = pc.replace_substring_regex(text, r" *(Z|[+-]\d\d:?\d\d)$", "")
        local = pc.strptime(bare, format=way[:-2].rstrip(), unit="us", error_is_null=True)
    else:
        local = parsed
    if "?P<day>" not in (pattern := _with_day(way)):
        return parsed
    # A day too many becomes the 1st, 2nd or 3rd of the next month: only those are checked.
    early = pc.fill_null(pc.less_equal(pc.day(local), 3), False)
    written = pc.struct_field(pc.extract_regex(text.filter(early), pattern), "day").cast(pa.int64())
    wrong = pc.fill_null(pc.not_equal(written, pc.day(local.filter(early))), False)
    return pc.replace_with_mask(parsed, early, pc.if_else(wrong, None, parsed.filter(early)))


def _with_day(way: str) -> str:
    """Return a regular expression that finds the day in a time of that pattern."""
    parts = re.split(r"(%.)", way)
    return "^" + "".join(
        _WRITTEN.get(part, ".*?") if part.startswith("%") else re.escape(part) for part in parts
    )


_WRITTEN = {"%d": r"(?P<day>\d\d?)", "%e": r" ?(?P<day>\d\d?)", "%Y": r"\d{4}"} | dict.fromkeys(
    ("%m", "%y", "%H", "%I", "%M", "%S"), r"\d\d?"
)
"""Regular expressions of the parts of a pattern."""


def _slow_iso(text: pa.Array, zone: str) -> pa.Array:
    """Read times some of which have a zone, an unusual spelling, or cannot be read."""
    text = pc.utf8_trim_whitespace(text)
    has_day = pc.invert(pc.match_substring_regex(text, _WITHOUT_DAY))
    text = pc.if_else(has_day, text, None)
    parsed = _mixed_iso(text, zone)
    lost = pc.and_(pc.is_null(parsed), pc.is_valid(text))
    if not pc.any(lost).as_py():
        return parsed
    return pc.replace_with_mask(parsed, lost, _mixed_iso(_as_usual(text.filter(lost)), zone))


def _as_usual(text: pa.Array) -> pa.Array:
    """Return times with an hour, T before it, a point before fractions, and Z for UTC and GMT."""
    for pattern, usual in _UNUSUAL.items():
        text = pc.replace_substring_regex(text, pattern, usual)
    return text


_UNUSUAL = {
    r" ?(UTC|GMT|[zZ])$": "Z",
    r"^([\d/-]+)t(\d)": r"\1T\2",
    r"(:\d\d),(\d)": r"\1.\2",
    r"^(\d{4}-?\d\d-?\d\d)(Z|[+-]\d\d:\d\d)$": r"\1T00\2",
}


def _mixed_iso(text: pa.Array, zone: str) -> pa.Array:
    """Read times some of which have a zone."""
    zoned = pc.fill_null(pc.match_substring_regex(text, _ZONED), False)
    named = _by_pandas(pc.if_else(zoned, text, None)).cast(INSTANT)
    bare = _by_pandas(pc.if_else(zoned, None, text)).cast(pa.timestamp("us"))
    return pc.coalesce(named, instants(bare, zone))


def _by_pandas(text: pa.Array) -> pa.Array:
    times = pd.to_datetime(text.to_pandas(), utc=True, format="ISO8601", errors="coerce")
    return pa.array(times.dt.tz_convert(None).to_numpy(), from_pandas=True).cast(
        pa.timestamp("us"), safe=False
    )


def instants(array: pa.Array, zone: str) -> pa.Array:
    """Return times as instants; those without a zone are in this one."""
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("us"))
    if array.type.tz is not None:
        return array.cast(INSTANT, safe=False)
    array = array.cast(pa.timestamp("us"), safe=False)
    if zone == "UTC":
        return array.cast(INSTANT)
    # A time that occurs twice when clocks change is read as the first one, and a time that does not
    # exist as the end of the gap: where clocks skip midnight, it stays on its day.
    local = pc.assume_timezone(array, zone, ambiguous="earliest", nonexistent="latest")
    return local.cast(INSTANT)
