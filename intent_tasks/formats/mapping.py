"""A format: a TOML file that maps fields of a source to columns of the shop.

The shipped formats are one file each in this folder; your own works the same. docs/collect.md
describes how to write one.
"""

import codecs
import hashlib
import tomllib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from intent_tasks.core.rules import REQUIRED
from intent_tasks.errors import BadInput
from intent_tasks.formats.column_value import Part, Value, with_missing
from intent_tasks.formats.columns import KEYS, PRODUCTS, TABLES

FOLDER = Path(__file__).parent

POSITION = "event_id"
"""The one required column that a source may lack: then file and row number make the id."""

PLACE = "(place in its order)"
"""A column that no source has: the place of a row in its order, with `fill_down`."""


Columns = dict[str, Value]


def _with_missing(value: Any, missing: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    return with_missing({"field": value} if isinstance(value, str) else value, missing)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


class FillDown(Part):
    """Fields that only the first row of an order has, as in an export for people."""

    by: str
    """The field that names the order; a row without it belongs to the order above."""
    fields: tuple[str, ...] = ()
    """Fields of all rows of an order: an empty one is copied from the row above."""


class Condition(Part):
    """A condition that a row meets by what it has in one field."""

    field: str
    """Name of the field."""
    values: tuple[str, ...] = ()
    """Texts that meet it, in any case and with blanks around; none: any value does."""

    @field_validator("values")
    @classmethod
    def _not_empty(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        if not all(text.strip() for text in given):
            raise ValueError("an empty text is no value; leave `values` out to mean any value")
        return given

    def __str__(self) -> str:
        values = [*self.values[:MOST_NAMED]]
        if len(self.values) > MOST_NAMED:
            values.append("others")
        return f"{self.field} is {' or '.join(values) or 'given'}"


class Shape(Part):
    """One layout of the files of a format."""

    header: tuple[str, ...] = ()
    """Names of the columns, for files without a header."""
    delimiter: str = ","
    """Delimiter of fields, in delimited files other than .tsv."""
    encoding: str = "utf-8"
    """Encoding of delimited files, by its name in Python, such as latin-1."""
    missing: tuple[str, ...] = ()
    """Texts that count as no value, in all columns."""
    each: str | None = None
    """A field that is a list: each element makes an event; an empty list makes one event too."""
    fill_down: FillDown | None = None
    """Rows that together are one order, and the fields that only its first row has."""
    skip: tuple[Condition, ...] = ()
    """Rows that meet one of these conditions are no events: orders that were cancelled."""
    only: tuple[Condition, ...] = ()
    """Rows that do not meet all of these conditions are no events."""
    events: Columns = Field(default_factory=dict)
    """Columns of `shop.events`."""
    products: Columns = Field(default_factory=dict)
    """Columns of `shop.products`: of the products in events, or of a file of products."""
    customers: Columns = Field(default_factory=dict)
    """Columns of `shop.customers`: a file of customers."""

    @model_validator(mode="before")
    @classmethod
    def _missing_everywhere(cls, given: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        """Pass the texts that count as no value to all columns."""
        if not isinstance(given, dict) or "missing" not in given:
            return given
        places = {n: given[n] for n in TABLES if isinstance(given.get(n), dict)}
        return given | {
            place: {name: _with_missing(value, given["missing"]) for name, value in columns.items()}
            for place, columns in places.items()
        }

    @field_validator("encoding")
    @classmethod
    def _an_encoding(cls, given: str) -> str:
        try:
            return codecs.lookup(given).name
        except LookupError:
            raise ValueError(
                f"there is no encoding {given!r}; names are such as latin-1, cp1252, utf-16"
            ) from None

    @field_validator("delimiter")
    @classmethod
    def _one_character(cls, given: str) -> str:
        if len(given) != 1 or not given.isascii() or given in '"\r\n':
            raise ValueError(f"{given!r} is not one character")
        return given

    @model_validator(mode="after")
    def _known_columns(self) -> "Shape":
        if self.customers and (self.events or self.products):
            raise ValueError("a file of customers fills no other table: give it a shape of its own")
        for table, columns in self.filled.items():
            names = PRODUCTS.names if table == "products" and self.events else TABLES[table].names
            if unknown := sorted(set(columns) - set(names)):
                raise ValueError(
                    f"{table}: files fill no column {', '.join(unknown)}; columns: "
                    f"{', '.join(sorted(names))}"
                )
        return self

    @model_validator(mode="after")
    def _header_names_all(self) -> "Shape":
        if twice := sorted({name for name in self.header if self.header.count(name) > 1}):
            raise ValueError(f"header names {', '.join(twice)} twice")
        unnamed = {f for value in self.values for f in value.names} - set(self.header)
        if self.header and unnamed:
            raise ValueError(f"header does not name {', '.join(sorted(unnamed))}")
        return self

    @model_validator(mode="after")
    def _one_way_of_several_rows(self) -> "Shape":
        if self.each and self.fill_down:
            raise ValueError("an event is made of several rows by each or by fill_down, not both")
        if (self.each or self.fill_down or self.skip or self.only) and not self.events:
            raise ValueError("each, fill_down, skip and only are for files of events")
        return self

    @model_validator(mode="after")
    def _constants_fit(self) -> "Shape":
        for place, columns in self.filled.items():
            schema = TABLES[place]
            for name, value in columns.items():
                try:
                    pa.scalar(value.constant, pa.string()).cast(schema.field(name).type)
                except pa.ArrowInvalid:
                    raise ValueError(
                        f"{place}.{name}: {value.constant!r} is not of the type of the column"
                    ) from None
        return self

    @model_validator(mode="after")
    def _complete(self) -> "Shape":
        needed = REQUIRED if self.table == "events" else (KEYS[self.table],)
        columns = self.filled.get(self.table, {})
        if missing := [n for n in needed if n not in columns and n != POSITION]:
            raise ValueError(f"{self.table} lacks {', '.join(missing)}")
        for name, value in columns.items():
            kind = TABLES[self.table].field(name).type
            if pa.types.is_timestamp(kind) and not value.time:
                raise ValueError(f'{self.table}.{name} needs time = "iso" or another one')
        return self

    @cached_property
    def table(self) -> str:
        """The table that its files fill."""
        return next((name for name in TABLES if getattr(self, name)), "events")

    @cached_property
    def filled(self) -> dict[str, Columns]:
        """Columns that are filled, by their table."""
        return {name: columns for name in TABLES if (columns := getattr(self, name))}

    @cached_property
    def required(self) -> tuple[tuple[str, ...], ...]:
        """Groups of fields; a file must have one field of each group."""
        columns = self.filled[self.table]
        names = REQUIRED if self.table == "events" else (KEYS[self.table],)
        values = (columns[name] for name in names if name in columns)
        orders = ((self.fill_down.by,),) if self.fill_down else ()
        return (*orders, *(any_of for value in values for any_of in value.needed))

    @cached_property
    def own_ids(self) -> bool:
        """True if event ids come from the source; a joined id makes equal ids one event."""
        value = self.events.get(POSITION)
        return value is None or (value.join is None and len(value.names) == len(value.fields))

    @cached_property
    def conditions(self) -> dict[Condition, Value]:
        """Settings by which the field of each condition is read."""
        return {
            condition: Value(fields=(condition.field,), missing=self.missing)
            for condition in (*self.skip, *self.only)
        }

    @cached_property
    def of_products(self) -> dict[str, Value]:
        """Columns of products, with names that differ from those of events."""
        return {f"products.{name}": value for name, value in self.products.items()}

    @cached_property
    def values(self) -> tuple[Value, ...]:
        """All values that are read from a row."""
        columns = (value for columns in self.filled.values() for value in columns.values())
        return (*columns, *self.conditions.values())

    @cached_property
    def wanted(self) -> frozenset[str]:
        """Names of fields, and of the outer fields that hold them."""
        fields = [f for value in self.values for f in value.names]
        if self.fill_down:
            fields += [self.fill_down.by, *self.fill_down.fields]
        return frozenset(part for f in fields for part in (f, f.split(".")[0]))

    @cached_property
    def numbers(self) -> frozenset[str]:
        """Names of the fields that numbers are read from as they are."""
        columns = (
            value
            for table, columns in self.filled.items()
            for name, value in columns.items()
            if _is_number(TABLES[table].field(name).type)
        )
        leaves = (leaf for value in columns for leaf in value.leaves)
        return frozenset(name for name, leaf in leaves if not (leaf.map or leaf.patterns))

    def named(self, fields: Sequence[str]) -> list[str]:
        """Return the names of fields as the format writes them, in any case and without blanks."""
        spellings = {name.strip().casefold(): name for name in self.wanted - set(fields)}
        return [f if f in self.wanted else spellings.get(f.strip().casefold(), f) for f in fields]

    def lacks(self, fields: tuple[str, ...]) -> list[str]:
        """Return the required fields that a file with these fields lacks."""
        present = {*fields, *(field.split(".")[0] for field in fields)}
        return [
            " or ".join(any_of)
            for any_of in self.required
            if not present & {part for f in any_of for part in (f, f.split(".")[0])}
        ]


class Format(Part):
    """A format and the layouts of its files; the first shape that fits is used."""

    about: str
    """Description, in a sentence."""
    source: str = ""
    """Address of its specification."""
    shapes: tuple[Shape, ...]

    @field_validator("shapes")
    @classmethod
    def _at_least_one(cls, given: tuple[Shape, ...]) -> tuple[Shape, ...]:
        if not given:
            raise ValueError("give one [[shapes]] at least")
        return given

    def of_table(self, table: str) -> "Format":
        """Return the format with only the shapes of files that fill a table.

        Raises:
            BadInput: it has none.
        """
        shapes = tuple(shape for shape in self.shapes if shape.table == table)
        if not shapes:
            others = sorted({shape.table for shape in self.shapes})
            raise BadInput(
                f"The format ({self.about}) has no shape of a file of {table}, only of "
                f"{', '.join(others)}. Give it one, with [shapes.{table}]: docs/collect.md."
            )
        return self.model_copy(update={"shapes": shapes})

    def digest(self) -> str:
        """Return the SHA-256 of all settings that decide how files are read."""
        text = self.model_dump_json(include={"shapes"}, exclude_defaults=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def tables(self) -> frozenset[str]:
        """Tables that files in this format fill."""
        return frozenset(shape.table for shape in self.shapes)


def names() -> list[str]:
    """Return the names of the formats that come with the product."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Format:
    """Return the format of that name, or the one in a file of that path.

    Raises:
        BadInput: there is none, or the file has a mistake; the message names its place.
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
        messages = "; ".join(_describe(problem) for problem in error.errors()[:MOST_NAMED])
        raise BadInput(f"The format {path} cannot be used. {messages}.") from None


MOST_NAMED = 5
"""Mistakes of a format, or values of a condition, that are named at once."""


def _describe(problem: ErrorDetails) -> str:
    """Return the message about a mistake and its place: shapes are counted from 1."""
    where = ".".join(str(part + 1 if isinstance(part, int) else part) for part in problem["loc"])
    what = {"extra_forbidden": "there is no such setting", "missing": "is missing"}.get(
        problem["type"], problem["msg"].removeprefix("Value error, ")
    )
    return f"{where or 'file'}: {what}"
