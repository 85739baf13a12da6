"""The kinds of numbers that rules measure, as SQL over the rows of a day."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

Number = sa.ColumnElement[Any]

RARE_SHARE = 0.02
"""A value rarer than this varies too much from day to day to tell that it is being lost."""


@dataclass(frozen=True)
class Reference:
    """What clean days looked like, as far as rules compare with it: shares and edges, no rows.

    Args:
        shares: by column, the share of each value that was seen often enough.
        deciles: by column of numbers.
    """

    shares: dict[str, dict[str, float]]
    deciles: dict[str, list[float]]


class Day:
    """The rows that are measured, and the reference beside them.

    Args:
        rows: the relation, read once.
        reference: of clean days.
    """

    def __init__(self, rows: sa.FromClause, reference: Reference) -> None:
        self.rows = rows
        self.c = rows.c
        self.reference = reference
        self._values: dict[str, Values] = {}

    def values(self, name: str) -> "Values":
        """Return the shares of a column's values beside those of the reference."""
        if name not in self._values:
            usual = self.reference.shares.get(name, {})
            self._values[name] = Values(self.rows, name, usual)
        return self._values[name]

    def deciles(self, name: str) -> list[float]:
        """Return the deciles of a column in the reference."""
        return self.reference.deciles.get(name, [])


def share(condition: sa.ColumnElement[bool], of: sa.ColumnElement[bool] | None = None) -> Number:
    """Return the share of rows for which a condition holds, among all or those of another one."""
    met = sa.func.count().filter(condition if of is None else sa.and_(condition, of))
    among = sa.func.count() if of is None else sa.func.count().filter(of)
    return sa.cast(met, sa.Double) / sa.func.nullif(among, 0)


def missing(column: Number) -> sa.ColumnElement[bool]:
    """Return whether a value is null, or a text empty."""
    if isinstance(column.type, sa.Text):
        return sa.func.coalesce(column, "") == ""
    return column.is_(None)


def quantile(column: Number, part: float) -> Number:
    """Return a quantile of the values that are not null."""
    return sa.func.percentile_disc(part).within_group(column)


def distinct(column: Number) -> Number:
    """Return how many different values there are, per row that has one."""
    # Numbers sort much faster than texts; two texts of the same hash do not matter here.
    hashed = sa.func.hashtextextended(column, 0) if isinstance(column.type, sa.Text) else column
    return sa.cast(sa.func.count(sa.distinct(hashed)), sa.Double) / sa.func.nullif(
        sa.func.count(column), 0
    )


def repeated(column: Number) -> Number:
    """Return the share of rows that repeat a value of another row."""
    return 1 - distinct(column)


def mean_length(column: Number) -> Number:
    """Return the mean number of characters."""
    return sa.cast(sa.func.avg(sa.func.length(column)), sa.Double)


def garbled(column: Number) -> Number:
    """Return the share of rows with a text that was read in a wrong encoding."""
    # What is left of a character in UTF-8 that was read as Latin-1, or could not be read at all.
    return share(column.op("~")("[ÃÂâ][\u0080-\u00bf]|â€|\ufffd"))


def shift(column: Number, deciles: Sequence[float]) -> Number:
    """Return the greatest distance between the distributions now and then (Kolmogorov-Smirnov).

    Args:
        column: numbers.
        deciles: of the reference.
    """
    there = column.is_not(None)
    parts = [
        sa.func.abs(share(column <= decile, there) - (n + 1) / (len(deciles) + 1))
        for n, decile in enumerate(deciles)
    ]
    return sa.func.greatest(*parts) if parts else sa.null()


class Values:
    """The shares of the values of one column, now and in the reference, as a relation."""

    def __init__(self, relation: sa.FromClause, name: str, reference: Mapping[str, float]) -> None:
        column = relation.c[name]
        value = sa.cast(column, sa.Text).label("value")
        now = (
            sa.select(value, (sa.func.count() / sa.func.sum(sa.func.count()).over()).label("part"))
            .where(column.is_not(None))
            .group_by(value)
            .cte(f"{name}_values")
        )
        usual = sa.values(
            sa.column("value", sa.Text), sa.column("usual", sa.Double), name=f"{name}_usual"
        ).data(list(reference.items()) or [("", 0.0)])
        self._joined = now.join(usual, now.c.value == usual.c.value, full=True)
        self._part = sa.func.coalesce(sa.cast(now.c.part, sa.Double), 0.0)
        self._usual = sa.func.coalesce(usual.c.usual, 0.0)

    def drift(self) -> Number:
        """Return half the sum of all changes of shares (total variation), 0 to 1."""
        return self._of(sa.func.sum(sa.func.abs(self._part - self._usual)) / 2)

    def new(self) -> Number:
        """Return the share of rows with a value that the reference does not know."""
        unknown = sa.func.sum(self._part).filter(self._usual == 0)
        return self._of(sa.func.coalesce(unknown, 0.0))

    def least(self) -> Number:
        """Return the share of the value that lost most, relative to its usual share; 0: lost."""
        kept = self._part / sa.func.nullif(self._usual, 0.0)
        return self._of(sa.func.min(kept).filter(self._usual >= RARE_SHARE))

    def _of(self, number: Any) -> Number:  # noqa: ANN401 - an aggregate of any kind
        return sa.select(number).select_from(self._joined).scalar_subquery()
