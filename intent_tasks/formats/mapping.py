"""What a format is: a TOML file that says which field of the source fills which column.

Seven come with the product, one file each beside this module; a file of your own works the same.
docs/collect.md tells how to write one.
"""

import tomllib
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from intent_tasks.core.rules import REQUIRED
from intent_tasks.errors import BadInput
from intent_tasks.tables import events, products

FOLDER = Path(__file__).parent

POSITION = "event_id"
"""The one required column that a source may lack: then a file and a row number are the id."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Value(_Part):
    """How one column is filled: from the first of some fields that has a value, or a constant."""

    fields: tuple[str, ...] = ()
    """Names of fields, those inside others after a dot: `user.id`."""
    key: str | None = None
    """The field is a list of `key` and `value` pairs, as in GA4; take the value of this key."""
    constant: str | None = None
    """The same value for every row."""
    join: str | None = None
    """Put all fields, or all elements of a list, together with this between."""
    map: dict[str, str] = Field(default_factory=dict)
    """What stands for what."""
    patterns: dict[str, str] = Field(default_factory=dict)
    """The same with regular expressions."""
    others: Literal["keep", "ignore"] = "keep"
    """What becomes of a value that `map` and `patterns` do not name; `ignore`: it is no event."""
    time: tuple[str, ...] = ()
    """How times are written: iso, seconds, milliseconds, microseconds or a strptime format."""
    zone: str = "UTC"
    """Time zone of times that name none."""
    decimal: Literal[".", ","] = "."
    """How numbers that are written as text mark their decimals: with "," 1.234,56 is 1234.56."""
    absolute: bool = False
    """Take a negative number as a positive one."""
    whole: bool = False
    """Take a number such as 17850.0 as the text 17850."""

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        """Let a text stand for a field, and `field = …`, `time = "…"` for lists of one."""
        if isinstance(given, str):
            return {"fields": (given,)}
        if not isinstance(given, dict):
            return given
        given = dict(given)
        if "field" in given:
            given["fields"] = (given.pop("field"),)
        if isinstance(given.get("time"), str):
            given["time"] = (given["time"],)
        return given

    @model_validator(mode="after")
    def _says_something(self) -> "Value":
        if bool(self.fields) == (self.constant is not None):
            raise ValueError("give either field, fields or constant")
        if both := [way for way in self.time if with_exchanged_day(way) in self.time]:
            raise ValueError(
                f"of {' and '.join(both)} a row does not say which one is right; make two formats"
            )
        return self


def with_exchanged_day(way: str) -> str | None:
    """Return the pattern with day and month exchanged; None: it does not name both as numbers."""
    if "%d" not in way or "%m" not in way:
        return None
    return way.replace("%d", "%\0").replace("%m", "%d").replace("%\0", "%m")


def _known(names: set[str]) -> BeforeValidator:
    def check(given: Any) -> Any:  # noqa: ANN401
        if isinstance(given, dict) and (unknown := sorted(set(given) - names)):
            raise ValueError(f"no column {', '.join(unknown)}; columns: {', '.join(sorted(names))}")
        return given

    return BeforeValidator(check)


Columns = Annotated[dict[str, Value], _known({column.name for column in events.columns})]
Facts = Annotated[dict[str, Value], _known({column.name for column in products.columns})]


class Shape(_Part):
    """One way in which files of a format are laid out."""

    header: tuple[str, ...] = ()
    """Names of the columns, for files without a first line that names them."""
    delimiter: str = ","
    """What separates the fields of a line, in files that are not called .tsv, .json or .parquet."""
    each: str | None = None
    """A field that is a list: each of its elements makes an event, and so does none at all."""
    events: Columns
    """Columns of `shop.events`."""
    products: Facts = Field(default_factory=dict)
    """Columns of `shop.products` that the rows tell beside it."""

    @model_validator(mode="after")
    def _complete(self) -> "Shape":
        missing = [n for n in REQUIRED if n not in self.events and n != POSITION]
        if missing:
            raise ValueError(f"events lacks {', '.join(missing)}")
        for name in ("occurred_at", "ingested_at"):
            if name in self.events and not self.events[name].time:
                raise ValueError(f'events.{name} needs time = "iso" or another one')
        return self

    @cached_property
    def required(self) -> tuple[tuple[str, ...], ...]:
        """Fields of which a file must have one each; of what is joined, all."""
        values = (self.events[name] for name in REQUIRED if name in self.events)
        one_each = (((f,) for f in v.fields) if v.join is not None else (v.fields,) for v in values)
        return tuple(fields for some in one_each for fields in some if fields)

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """Everything that is read from a row."""
        return (*self.events.values(), *self.products.values())

    def missing(self, fields: tuple[str, ...]) -> list[str]:
        """Return what a file with these fields lacks."""
        present = {*fields, *(field.split(".")[0] for field in fields)}
        return [
            " or ".join(any_of)
            for any_of in self.required
            if not present & {part for f in any_of for part in (f, f.split(".")[0])}
        ]


class Format(_Part):
    """A format: what it is and how its files may look; the first shape that fits is taken."""

    about: str
    """What it is, in a sentence."""
    source: str = ""
    """Where it is described."""
    shapes: tuple[Shape, ...] = Field(min_length=1)


def names() -> list[str]:
    """Return the names of the formats that come with the product."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Format:
    """Return the format of that name, or the one in a file of that path.

    Raises:
        BadInput: there is none, or the file says what no format can; the place is named.
    """
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not name.endswith(".toml") and name not in names():
        raise BadInput(
            f"There is no format {name!r}. Formats: {', '.join(names())}; or the path of a .toml "
            "file of your own, see docs/collect.md."
        )
    try:
        return Format.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadInput(f"The format {path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise BadInput(f"The format {path} is not TOML: {error}.") from None
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()[:5]
        )
        raise BadInput(f"The format {path} cannot be used. {said}.") from None
