"""Ids of one customer that are written differently, as expressions of SQL."""

import sqlalchemy as sa

Text = sa.ColumnElement[str]

_INVISIBLE = r"\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff"
"""Characters without a width, for a regular expression of Postgres."""
_AROUND = rf"\s\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000'\"`\u2018-\u201f{_INVISIBLE}"
"""Blanks, quotation marks and invisible characters."""

_NOT_OF_THE_ID = rf"^[{_AROUND}]+|[{_AROUND}]+$|[{_INVISIBLE}]"


def composed(value: Text) -> Text:
    """Return a text in one form of Unicode: an accent is part of its letter."""
    # Postgres normalises only texts of a database in UTF-8.
    is_unicode = sa.func.current_setting("server_encoding") == "UTF8"
    return sa.case((is_unicode, sa.func.normalize(value, sa.text("NFKC"))), else_=value)


def without_marks(value: Text) -> Text:
    """Return a text without blanks and quotation marks around it, and invisible characters."""
    return sa.func.regexp_replace(value, _NOT_OF_THE_ID, "", "g")


def without_decimals(value: Text) -> Text:
    """Return a whole number without its decimals: 4711.0 is 4711."""
    return sa.func.regexp_replace(value, r"^(-?[0-9]+)\.0+$", r"\1")


def without_zeros(value: Text) -> Text:
    """Return a number without zeros in front, also one after letters: c007 is c7."""
    return sa.func.regexp_replace(value, r"^([^0-9@]*)0+([0-9]+)$", r"\1\2")


def same_id(value: Text) -> Text:
    """Return a text that ids share which are surely one, however they are written."""
    return without_decimals(without_marks(composed(value)))


def similar_id(value: Text) -> Text:
    """Return a text that ids share which are one where case and zeros in front mean nothing."""
    return without_zeros(sa.func.lower(same_id(value)))
