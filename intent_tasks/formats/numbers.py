"""Read numbers that are written as text, including amounts of money with a currency."""

from functools import reduce
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.formats.column_value import Value

_WITH_COMMA = r"^[+-]?(\d+|\d{1,3}([. '\x{a0}\x{202f}]\d{3})+)(,\d+)?$"
"""A number with decimal comma, with or without separators of thousands."""

_WITH_POINT = (
    r"^(\d{1,3}(,\d{3})+\.\d+|\d{1,3}(,\d{3}){2,}|\d{1,3}([ '\x{2019}\x{a0}\x{202f}]\d{3})+(\.\d+)?"
    r"|\d{1,2}(,\d{2})+,\d{3}(\.\d+)?|\d+\.?\d*|\.\d+)$"
)
"""A number with decimal point that cannot be read with decimal comma."""

_EITHER = r"^\d{1,3}[.,]\d{3}$"
"""1,234 and, with a currency, 1.234: thousands or decimals; the format must decide."""

_UNIT = r"[A-Z]{0,3}\p{Sc}|[A-Z]{3}|[Kk]r\.?|zł|Kč|Ft|Fr\.?|Rs\.?|\p{Cyrillic}{2,3}\.?|lei|TL"
_MINUS = r"[-\x{2212}–]"
_AMOUNT = (
    rf"^\s*(?P<open>\()?\s*(?P<first>[+]|{_MINUS})?\s*(?P<before>{_UNIT})?\s*"
    rf"(?P<second>{_MINUS})?\s*(?P<number>[\d.,][\d.,'\x{{2019}}\x{{a0}}\x{{202f}} ]*?)"
    rf"(?:[.,][-\x{{2212}}–—]{{1,2}})?\s*(?P<third>{_MINUS})?\s*(?P<after>{_UNIT})?\s*"
    rf"(?P<fourth>{_MINUS})?\s*(?P<close>\))?\s*$"
)
"""An amount of money: a sign, a currency and a number, in any usual order."""

_CODES = {
    "€": "EUR", "£": "GBP", "US$": "USD", "CA$": "CAD", "AU$": "AUD", "NZ$": "NZD", "HK$": "HKD",
    "R$": "BRL", "₹": "INR", "₽": "RUB", "₺": "TRY", "₩": "KRW", "₪": "ILS", "₫": "VND",
    "₴": "UAH", "₦": "NGN", "₱": "PHP", "zł": "PLN", "Kč": "CZK", "Ft": "HUF",
}  # fmt: skip
"""Signs that stand for one currency; $, ¥ and kr stand for several."""


class Numbers(NamedTuple):
    """Values of texts, shape (n,): numbers, and codes of currencies; None when no text has one."""

    values: pa.Array
    currencies: pa.Array | None = None


def read(text: pa.Array, value: Value) -> Numbers:
    """Return the numbers of texts; null where a text is no number, or an ambiguous one."""
    numbers = floats(_with_point(text) if value.decimal == "," else text)
    lost = pc.and_(pc.is_null(numbers), pc.is_valid(text))
    if not pc.any(lost).as_py():
        return Numbers(numbers)
    some = _amounts(text.filter(lost), value)
    nothing = pa.nulls(len(text), pa.string())
    return Numbers(
        pc.replace_with_mask(numbers, lost, some.values),
        None if some.currencies is None else pc.replace_with_mask(nothing, lost, some.currencies),
    )


def floats(text: pa.Array) -> pa.Array:
    """Return plain numbers; null for any other text, and for infinite values."""
    try:
        numbers = text.cast(pa.float64())
    except pa.ArrowInvalid:
        parsed = pd.to_numeric(text.to_pandas(), errors="coerce")
        numbers = pa.array(parsed.to_numpy(float, na_value=float("nan")), from_pandas=True)
    finite = pc.is_finite(numbers)
    return numbers if pc.all(finite).as_py() is not False else pc.if_else(finite, numbers, None)


def _with_point(text: pa.Array) -> pa.Array:
    fits = pc.fill_null(pc.match_substring_regex(text, _WITH_COMMA), False)
    bare = pc.replace_substring_regex(pc.if_else(fits, text, None), r"[^0-9,+-]", "")
    return pc.replace_substring(bare, ",", ".")


def _amounts(text: pa.Array, value: Value) -> Numbers:
    """Read amounts with a sign or code of a currency, with separators, and negative ones."""
    parts = pc.extract_regex(text, _AMOUNT)
    before, after, number = (_part(parts, name) for name in ("before", "after", "number"))
    minuses = [_is_there(parts, name, "+") for name in ("first", "second", "third", "fourth")]
    opened, closed = _is_there(parts, "open"), _is_there(parts, "close")
    count = reduce(pc.add, (pc.cast(m, pa.int8()) for m in [*minuses, opened]))
    codes = [_codes(unit) for unit in (before, after)]
    sure = pc.and_(
        pc.and_(pc.equal(opened, closed), pc.less_equal(count, 1)),
        pc.fill_null(pc.equal(*codes), True),
    )
    numbers = _magnitudes(pc.if_else(sure, number, None), value)
    signed = pc.if_else(pc.equal(count, 1), pc.negate(numbers), numbers)
    currencies = pc.if_else(pc.is_valid(numbers), pc.coalesce(*codes), None)
    has_any = currencies.null_count < len(currencies)
    return Numbers(signed, currencies if has_any else None)


def _part(parts: pa.Array, name: str) -> pa.Array:
    text = pc.struct_field(parts, name)
    return pc.if_else(pc.equal(text, ""), None, text)


def _is_there(parts: pa.Array, name: str, other_than: str = "") -> pa.Array:
    part = _part(parts, name)
    return pc.fill_null(pc.not_equal(part, other_than), False)


def _codes(unit: pa.Array) -> pa.Array:
    """Return the code of each sign; null where the sign stands for several currencies."""
    signs = pa.array(list(_CODES), pa.string())
    known = pc.take(pa.array(list(_CODES.values())), pc.index_in(unit, value_set=signs))
    is_code = pc.fill_null(pc.match_substring_regex(unit, "^[A-Z]{3}$"), False)
    return pc.coalesce(known, pc.if_else(is_code, unit, None))


def _magnitudes(number: pa.Array, value: Value) -> pa.Array:
    if value.decimal == ",":
        return floats(_with_point(number))
    fits = pc.match_substring_regex(number, _WITH_POINT)
    either = pc.match_substring_regex(number, _EITHER)
    sure = pc.or_(fits, either) if value.decimal else pc.and_not(fits, either)
    number = pc.if_else(pc.fill_null(sure, False), number, None)
    return floats(pc.replace_substring_regex(number, r"[^0-9.]", ""))
