"""Turn rows of a source into events, and keep apart the rows that cannot be used."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import CHANGED_DUPLICATE, OK, REQUIRED, BadRow, broken_rules
from intent_tasks.formats import (
    blocks,
    duplicates,
    list_elements,
    raw_text,
    skipped_rows,
    values,
)
from intent_tasks.formats.blocks import Rows
from intent_tasks.formats.column_value import Value
from intent_tasks.formats.columns import PRODUCTS, SCHEMA
from intent_tasks.formats.mapping import PLACE, POSITION, Shape


@dataclass(frozen=True)
class Batch:
    """Events and products that were read from some rows of a source.

    Args:
        events: the usable ones, columns of `SCHEMA`.
        sources: of each the id of the source's event; several rows can have one.
        products: columns of `PRODUCTS`, one row for each product of the rows.
        bad: the rows that cannot be used, in the order of the file.
        repeated: number of usable events that repeat an earlier event of the source.
        ignored: number of rows that are no events of a customer, by the format.
        skipped: number of these rows by the condition of the format that skips them.
        judged: number of rows of the file that are not ignored, the bad ones included.
        exchanged: a time pattern with day and month exchanged that reads all times, where the
            format's own pattern does not; else None.
        absent: columns whose fields no row has.
        unreadable: values that are null in `events` because they cannot be read.
        reasons: column → sentence about why its values cannot be read, as far as types show it.
        last: number of the last row.
        own_ids: ids come from the source and are not joined by the format.
        has_ids: ids come from fields, not from the place in the file.
        rows_read: number of rows of the file.
        numbers: row number of each event.
        whole: returns rows by their numbers, as the file has them.
    """

    events: pa.Table
    sources: pa.Array
    products: pa.Table
    bad: list[BadRow]
    repeated: int
    ignored: int
    skipped: Counter[str]
    judged: int
    exchanged: str | None
    absent: list[str]
    unreadable: list["Unreadable"]
    reasons: dict[str, str]
    last: int
    own_ids: bool
    has_ids: bool
    rows_read: int
    numbers: pa.Array
    whole: Callable[[Sequence[int]], list[Any]]

    def of(self, wanted: pa.Array) -> "Batch":
        """Return the batch with some of its events."""
        return replace(
            self,
            events=self.events.filter(wanted),
            sources=self.sources.filter(wanted),
            numbers=self.numbers.filter(wanted),
        )


class Unreadable(NamedTuple):
    """Values of a column that may be null, given in usable events and not readable.

    Args:
        column: of `shop.events`.
        rows: number of unreadable values.
        given: number of these events with a value in that column, readable or not.
        first: number of the first row with one.
    """

    column: str
    rows: int
    given: int
    first: int


def convert(
    rows: Rows,
    shape: Shape,
    file_id: str,
    correction: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> Batch:
    """Return the rows as events.

    Args:
        rows: of one file.
        shape: their layout.
        file_id: what event ids begin with where the source has none.
        correction: column → value for all their events, set by a person; unusual but possible
            values are then accepted.
        now: moment of collecting; None accepts any time.
    """
    table, numbers, parts = list_elements.spread(rows.table, rows.numbers, shape.each)
    if PLACE in table.column_names:
        parts = table[PLACE].combine_chunks().cast(pa.int64())
    events, rules, unreadable = _events(table, shape, correction or {})
    sources = events[POSITION].combine_chunks()
    if POSITION not in (correction or {}):
        sources = _sources(events, numbers, parts, shape, file_id)
    events = events.set_column(0, SCHEMA.field(0), _ids(sources, parts))
    skips = skipped_rows.find_rules(table, shape)
    ignored = pc.or_(_ignored(events, shape), pc.not_equal(skips, OK))
    broken = broken_rules(events, repeats=False, accepted=correction is not None, now=now)
    rules = _first_rule(rules, broken)
    good = pc.equal(rules, OK)
    usable = pc.and_(good, pc.invert(ignored))
    repeats = duplicates.find_duplicates(events, sources, parts, usable, compare=shape.own_ids)
    rules = pc.if_else(repeats.changed, CHANGED_DUPLICATE, rules)
    good = pc.equal(rules, OK)
    bad = _bad(rows, numbers, rules, pc.invert(pc.or_(good, ignored)), events)
    keep = pc.and_(good, pc.invert(pc.or_(repeats.same, ignored)))
    wanted = None if pc.all(keep).as_py() else keep  # most blocks are kept whole
    return Batch(
        _only(events, wanted),
        _only(sources, wanted),
        _products(table, shape, keep),
        sorted([*rows.bad, *bad], key=lambda row: row.number),
        int(pc.sum(repeats.same).as_py() or 0),
        int(pc.sum(ignored).as_py() or 0),
        skipped_rows.count(skips),
        len(rows.bad) + pc.count_distinct(numbers.filter(pc.invert(ignored))).as_py(),
        _exchanged(table, shape, rules),
        [
            *values.find_absent(table, (*shape.events.items(), *shape.of_products.items())),
            *skipped_rows.absent(table, shape),
        ],
        _counted(unreadable, numbers, keep),
        _reasons(rows, shape),
        rows.last,
        shape.own_ids,
        POSITION in shape.events,
        len(rows.bad) + rows.table.num_rows,
        _only(numbers, wanted),
        rows.whole,
    )


def _only(rows: Any, wanted: pa.Array | None) -> Any:  # noqa: ANN401 - a table or an array
    """Return the wanted ones of some rows; None: all of them, without a copy."""
    return rows if wanted is None else rows.filter(wanted)


Lost = dict[str, tuple[pa.Array, pa.Array]]
"""Column → masks of unreadable values, and of all values."""


def _events(
    table: pa.Table, shape: Shape, correction: Mapping[str, Any]
) -> tuple[pa.Table, pa.Array, Lost]:
    """Return all columns, the first rule of reading that each row breaks, and unreadable values.

    A value that cannot be read costs the row only where an event needs it, or where it is a number
    too large for its column: a person can decide about that one.
    """
    rules = pa.repeat(OK, table.num_rows)
    columns: dict[str, pa.Array] = {}
    unreadable: Lost = {}
    signs: dict[str, pa.Array | None] = {}
    for field in SCHEMA:
        value = shape.events.get(field.name)
        if field.name in correction:
            given = pa.scalar(correction[field.name], field.type)
            columns[field.name] = pa.repeat(given, table.num_rows)
            continue
        if value is None:
            columns[field.name] = pa.nulls(table.num_rows, field.type)
            continue
        # An id that is joined from half of its fields would be that of other events too.
        column = values.fill(table, value, field.type, complete=field.name in REQUIRED)
        columns[field.name] = column.values
        signs[field.name] = column.currencies
        lost = pc.and_(pc.is_null(column.values), pc.is_valid(column.given))
        if value.others == "ignore" or not pc.any(lost).as_py():
            continue
        costly = lost
        if field.name not in REQUIRED:
            unreadable[field.name] = (lost, pc.is_valid(column.given))
            costly = pc.and_(lost, values.is_too_large(table, value, field.type))
        rules = _first_rule(rules, _rules_of_lost(table, value, field.name, costly))
    if (price_signs := signs.get("price")) is not None:
        _compare_currencies(columns, price_signs, unreadable)
    for name, value in (*shape.events.items(), *shape.of_products.items()):
        if name in correction or not _is_text(name):
            continue
        if undecodable := _undecodable(table, value):
            rules = _first_rule(rules, pc.if_else(undecodable[0], f"{name} is no UTF-8", OK))
    return pa.table({n: columns[n] for n in SCHEMA.names}, schema=SCHEMA), rules, unreadable


def _rules_of_lost(table: pa.Table, value: Value, name: str, lost: pa.Array) -> pa.Array:
    """Return the rule that each unreadable value breaks, shape (n,)."""
    rule = f"{name} cannot be read"
    if blocks.MISFITS not in table.column_names:
        return pc.if_else(lost, rule, OK)
    entries = table[blocks.MISFITS].to_pylist()
    rules = [
        (blocks.misfit_message(entry, value.names) or rule) if is_lost else OK
        for entry, is_lost in zip(entries, lost.to_pylist(), strict=True)
    ]
    return pa.array(rules, pa.string())


def _compare_currencies(columns: dict[str, pa.Array], signs: pa.Array, lost: Lost) -> None:
    """Fill empty currencies from the signs in prices; a price in another currency is unreadable."""
    price, currency = columns["price"], columns["currency"]
    columns["currency"] = pc.coalesce(currency, signs)
    other = pc.fill_null(pc.not_equal(pc.ascii_upper(currency), signs), False)
    if pc.any(other).as_py():
        columns["price"] = pc.if_else(other, None, price)
        where, given = lost.get("price", (pc.is_null(price), pc.is_valid(price)))
        lost["price"] = (pc.or_(pc.and_(where, given), other), given)


def _reasons(rows: Rows, shape: Shape) -> dict[str, str]:
    """Return column → why its values cannot be read, where the type of its field shows it."""
    return {
        column: f"Field {name} is of type {rows.no_numbers[name]}, which is no number."
        for column, value in shape.events.items()
        for name in value.names
        if name in rows.no_numbers
    }


def _counted(unreadable: Lost, numbers: pa.Array, keep: pa.Array) -> list[Unreadable]:
    """Return the unreadable values of the events that are kept."""
    found = []
    for column, (lost, given) in unreadable.items():
        lost = pc.and_(lost, keep)
        if count := pc.sum(lost).as_py():
            of = pc.sum(pc.and_(given, keep)).as_py()
            found.append(Unreadable(column, count, of, numbers.filter(lost)[0].as_py()))
    return found


def _exchanged(table: pa.Table, shape: Shape, rules: pa.Array) -> str | None:
    if not pc.any(pc.equal(rules, "occurred_at cannot be read")).as_py():
        return None
    return values.find_exchanged_pattern(table, shape.events["occurred_at"])


def _is_text(name: str) -> bool:
    """Return whether a column of events, or of products by its name in a shape, is a text."""
    table, column = (PRODUCTS, name[9:]) if name.startswith("products.") else (SCHEMA, name)
    return bool(pa.types.is_string(table.field(column).type))


def _undecodable(table: pa.Table, value: Value) -> list[pa.Array]:
    """Return where bytes are no text; an empty list when all of them are text."""
    for array in values.plain_arrays(table, value):
        if pa.types.is_binary(array.type) or pa.types.is_list(array.type):
            lost = raw_text.find_undecodable(array)
            if pc.any(lost).as_py():
                return [lost]
    return []


def _first_rule(first: pa.Array, second: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(first, OK), second, first)


def _sources(
    events: pa.Table, numbers: pa.Array, parts: pa.Array | None, shape: Shape, file_id: str
) -> pa.Array:
    """Return the id of the source's event of each row: its own, or file and row number."""
    if POSITION in shape.events:
        ids = events[POSITION].combine_chunks()
    else:
        ids = pc.binary_join_element_wise(file_id, numbers.cast(pa.string()), "-")
    return ids if parts is None else ids.take(duplicates.first_rows(parts))


def _ids(sources: pa.Array, parts: pa.Array | None) -> pa.Array:
    """Return an id for each row of an event: the first has that id, others add their place."""
    if parts is None:
        return sources
    later = pc.binary_join_element_wise(sources, parts.cast(pa.string()), "/")
    return pc.if_else(pc.greater(parts, 0), later, sources)


def _ignored(events: pa.Table, shape: Shape) -> pa.Array:
    if shape.events["event_type"].others != "ignore":
        return pa.repeat(False, events.num_rows)
    return pc.is_null(events["event_type"].combine_chunks())


def _products(table: pa.Table, shape: Shape, keep: pa.Array) -> pa.Table:
    """Return the last values of each product."""
    if not shape.products:
        return PRODUCTS.empty_table()
    columns = {
        field.name: values.fill(table, shape.products[field.name], field.type).values
        if field.name in shape.products
        else pa.nulls(table.num_rows, field.type)
        for field in PRODUCTS
    }
    is_product = pc.and_(keep, pc.is_valid(columns["product_id"]))
    return latest_products(pa.table(columns, schema=PRODUCTS).filter(is_product))


def latest_products(rows: pa.Table) -> pa.Table:
    """Return the last values of each product, columns of `PRODUCTS`; one row for each product."""
    grouped = rows.group_by("product_id", use_threads=False).aggregate(
        [(name, "last", _LAST) for name in PRODUCTS.names[1:]]
    )
    return grouped.rename_columns(
        [name.removesuffix("_last") for name in grouped.column_names]
    ).select(PRODUCTS.names)


_LAST = pc.ScalarAggregateOptions(skip_nulls=True)


def _bad(
    rows: Rows, numbers: pa.Array, rules: pa.Array, wanted: pa.Array, events: pa.Table
) -> list[BadRow]:
    """Return the rows for quarantine, whole; a row of several events only once."""
    if not pc.any(wanted).as_py():
        return []
    found: dict[int, tuple[str, str | None]] = {}
    columns = (numbers, rules, events["event_id"])
    for number, rule, key in zip(*(c.filter(wanted).to_pylist() for c in columns), strict=True):
        found.setdefault(number, (rule, key))
    return [
        BadRow(number, rule, blocks.payload(row), key)
        for (number, (rule, key)), row in zip(found.items(), rows.whole(list(found)), strict=True)
    ]
