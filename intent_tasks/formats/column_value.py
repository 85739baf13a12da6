"""Settings by which a format fills one column from the fields of a row."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Part(BaseModel):
    """A part of a format; it accepts only the keys that it names."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Value(Part):
    """Source of one column: the first of some fields with a value, or a constant."""

    fields: tuple["str | Value", ...] = ()
    """Names of fields, with a dot for inner ones (`user.id`); or tables like this one."""
    key: str | None = None
    """The field is a list of `key` and `value` pairs, as in GA4; take the value of this key."""
    constant: str | None = None
    """The same value for every row."""
    default: str | None = None
    """The text of rows in which no field has a value."""
    join: str | None = None
    """Join all fields, or all elements of a list, with this text."""
    map: dict[str, str] = Field(default_factory=dict)
    """Text of the source → value."""
    patterns: dict[str, str] = Field(default_factory=dict)
    """Regular expression → value, for texts that `map` does not name."""
    others: Literal["keep", "ignore"] = "keep"
    """What to do with a value that neither `map` nor `patterns` names; `ignore`: it is no event."""
    time: tuple[str, ...] = ()
    """Formats of times: iso, seconds, milliseconds, microseconds or a strptime format."""
    zone: str = "UTC"
    """Time zone of times without one."""
    decimal: Literal[".", ","] | None = None
    """Decimal mark of numbers in text: with "," 1.234,56 is 1234.56.

    None is a point; 1,234 is then unreadable, because it is ambiguous."""
    divide_by: Annotated[float, Field(gt=0)] | str | None = None
    """Divisor of a number: 100 for cents, or a field, such as the pieces of a line."""
    less: tuple["Value", ...] = ()
    """Numbers to subtract before the division, such as discounts; a missing one is 0."""
    absolute: bool = False
    """Drop the minus of a negative number."""
    whole: bool = False
    """Read a number such as 17850.0 as the text 17850."""
    missing: tuple[str, ...] = ()
    """Texts that count as no value, such as NULL, in any case; by default those of the shape."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        """Accept a text for a field, and `field = …`, `time = "…"` for lists of one."""
        if isinstance(given, str):
            return {"fields": (given,)}
        if not isinstance(given, dict):
            return given
        given = dict(given)
        if "field" in given:
            given["fields"] = (given.pop("field"),)
        if isinstance(given.get("time"), str):
            given["time"] = (given["time"],)
        if isinstance(given.get("less"), str | dict):
            given["less"] = (given["less"],)
        if isinstance(given.get("less"), list | tuple):
            given["less"] = [{"field": p} if isinstance(p, str) else p for p in given["less"]]
        return _with_inner_missing(given)

    @field_validator("zone")
    @classmethod
    def _a_zone(cls, given: str) -> str:
        try:
            ZoneInfo(given)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"there is no time zone {given!r}; names are such as Europe/Paris"
            ) from None
        return given

    @field_validator("patterns")
    @classmethod
    def _regular(cls, given: dict[str, str]) -> dict[str, str]:
        for pattern in given:
            try:
                pc.match_substring_regex(pa.scalar(""), pattern)
            except pa.ArrowInvalid as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return given

    @model_validator(mode="after")
    def _has_one_source(self) -> "Value":
        if bool(self.fields) == (self.constant is not None):
            raise ValueError("give either field, fields or constant")
        if self.time and len(self.names) != len(self.fields):
            raise ValueError("the fields of a time are names")
        if unknown := [way for way in self.time if not _is_readable(way)]:
            raise ValueError(
                f"{unknown[0]!r} is none of {', '.join(WORDS)}, nor a pattern that can be read, as "
                "%d.%m.%Y %H:%M (%f: iso; %Z: %z where times name an offset, else zone)"
            )
        if both := [way for way in self.time if with_exchanged_day(way) in self.time]:
            raise ValueError(
                f"of {' and '.join(both)} no row shows which one is right; make two formats"
            )
        return self

    @property
    def leaves(self) -> Iterator[tuple[str, "Value"]]:
        """Yield each field that is read, with its settings."""
        for field in self.fields:
            if isinstance(field, Value):
                yield from field.leaves
            else:
                yield field, self
        for part in self.less:
            yield from part.leaves
        if isinstance(self.divide_by, str):
            yield self.divide_by, self.divisor

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all fields that are read."""
        return tuple(name for name, _ in self.leaves)

    @property
    def divisor(self) -> "Value":
        """Settings by which the field of the divisor is read."""
        return Value(fields=(str(self.divide_by),), decimal=self.decimal, missing=self.missing)

    @property
    def needed(self) -> tuple[tuple[str, ...], ...]:
        """Groups of fields; a file must have one field of each group."""
        if self.default is not None:
            return ()
        parts = [f.needed if isinstance(f, Value) else ((f,),) for f in self.fields]
        if self.join is not None:
            return tuple(any_of for part in parts for any_of in part)
        return (self.names,) if self.names and all(parts) else ()


def _with_inner_missing(given: dict[str, Any]) -> dict[str, Any]:
    """Pass the texts that count as no value to inner tables."""
    if "missing" not in given:
        return given
    inner = {
        name: tuple(with_missing(part, given["missing"]) for part in given[name])
        for name in ("fields", "less")
        if isinstance(given.get(name), list | tuple)
    }
    return given | inner


def with_missing(value: Any, missing: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    """Return the settings of a value, with the texts that count as no value."""
    return {"missing": missing} | value if isinstance(value, dict) else value


def with_exchanged_day(way: str) -> str | None:
    """Return the pattern with day and month exchanged; None when it lacks one of them."""
    if "%d" not in way or "%m" not in way:
        return None
    return way.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")


WORDS = ("iso", "seconds", "milliseconds", "microseconds")
"""Named formats of times."""

_SAMPLE = datetime(2009, 11, 23, 14, 35, tzinfo=UTC)


def _is_readable(way: str) -> bool:
    """Return whether it is a named format, or a pattern that reads what it writes."""
    if way in WORDS:
        return True
    if "%" not in way or "%Z" in way:
        return False
    written = pa.array([_SAMPLE.strftime(way)])
    return bool(pc.strptime(written, way, "us", error_is_null=True).is_valid()[0].as_py())
