"""Measures: SQL expressions over the rows of a day, from which rules are made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

Number = sa.ColumnElement[Any]

RARE_SHARE = 0.02
"""A value with a smaller share varies too much from day to day to be compared."""


@dataclass(frozen=True)
class Reference:
    """Shares and deciles of clean days, with which rules compare.

    Args:
        shares: column → value → its share; without rare values.
        deciles: column of numbers → its deciles.
    """

    shares: dict[str, dict[str, float]]
    deciles: dict[str, list[float]]


QUANTILES = (0.1, 0.5, 0.9, 0.99)
"""Quantiles that one sort of a column measures."""


SORTED = "sorted_once"
"""Name of the relation with all numbers that need sorted rows."""


class Day:
    """The rows that are measured, and the reference of clean days.

    One pass over the rows computes counts and sums, a second one all sorted numbers, and one pass a
    column its groups. PostgreSQL reads the rows in each pass, mostly with several workers, which is
    cheaper than materialising 2 million rows.

    Args:
        rows: the relation, which must not be materialised.
        reference: of clean days.
    """

    def __init__(self, rows: sa.FromClause, reference: Reference) -> None:
        self.rows = rows
        self.c = rows.c
        self.reference = reference
        self._values: dict[str, Values] = {}
        self._groups: dict[str, Groups] = {}
        self._sorted: dict[str, Number] = {}
        self._cells: sa.CTE | None = None

    def values(self, name: str) -> "Values":
        """Return the shares of a column's values, joined with those of the reference."""
        if name not in self._values:
            usual = self.reference.shares.get(name, {})
            cells = self._all_cells() if usual else self._counted([name], f"{name}_cells")
            self._values[name] = Values(cells, name, usual)
        return self._values[name]

    def variety(self, name: str) -> Number:
        """Return the number of different values per row with a value."""
        # For nearly unique values a sort is faster than groups.
        column = self.c[name]
        different = sa.func.count(sa.distinct(_as_number(column)))
        label = f"{name}_variety"
        self._sorted[label] = _part(different, sa.func.count(column))
        return sa.select(_sorted(label, sa.Double())).scalar_subquery()

    def repeated(self, name: str) -> Number:
        """Return the share of rows that repeat a value of another row."""
        return 1 - self.variety(name)

    def repeated_with_other(self, name: str, content: str) -> Number:
        """Return the share of rows that repeat a value of another row with other content."""
        # The content is hashed and sorted only on days that have repeated values at all.
        pair = sa.func.hash_record_extended(sa.func.row(self.c[name], self.c[content]), 0)
        has_value = self.c[name].is_not(None)
        pairs = sa.func.count(sa.distinct(pair)).filter(has_value)
        variety = self.variety(name)
        all_pairs = sa.select(_part(pairs, sa.func.count(self.c[name]))).select_from(self.rows)
        return sa.case((variety == 1.0, 0.0), else_=all_pairs.scalar_subquery() - variety)

    def groups(self, name: str) -> "Groups":
        """Return the rows of each value of a column that has far fewer values than rows."""
        if name not in self._groups:
            self._groups[name] = Groups(self.rows, name)
        return self._groups[name]

    def quantile(self, name: str, part: float) -> Number:
        """Return a quantile of the values that are not null, one of QUANTILES."""
        parts = sa.cast(QUANTILES, sa.ARRAY(sa.Double))
        label = f"{name}_quantiles"
        self._sorted[label] = sa.func.percentile_disc(parts).within_group(self.c[name])
        quantiles = _sorted(label, sa.ARRAY(sa.Double))
        return sa.select(quantiles[QUANTILES.index(part) + 1]).scalar_subquery()

    def sorted_once(self) -> list[sa.CTE]:
        """Return the relation of all sorted numbers, one row; empty: no rule needs one."""
        numbers = [number.label(label) for label, number in self._sorted.items()]
        return [sa.select(*numbers).select_from(self.rows).cte(SORTED)] if numbers else []

    def deciles(self, name: str) -> list[float]:
        """Return the deciles of a column in the reference."""
        return self.reference.deciles.get(name, [])

    def _all_cells(self) -> sa.CTE:
        """Count the rows by all compared columns at once, so that they are read once."""
        if self._cells is None:
            self._cells = self._counted([n for n in self.reference.shares if n in self.c], "cells")
        return self._cells

    def _counted(self, names: Sequence[str], name: str) -> sa.CTE:
        picked = [self.c[n] for n in names]
        return sa.select(*picked, sa.func.count().label("row_count")).group_by(*picked).cte(name)


def share(condition: sa.ColumnElement[bool], of: sa.ColumnElement[bool] | None = None) -> Number:
    """Return the share of rows that meet a condition, of all rows or of those that meet `of`."""
    met = sa.func.count().filter(condition if of is None else sa.and_(condition, of))
    return _part(met, sa.func.count() if of is None else sa.func.count().filter(of))


def _part(number: Number, of: Number) -> Number:
    return sa.cast(number, sa.Double) / sa.func.nullif(sa.cast(of, sa.Double), 0.0, type_=sa.Double)


def _as_number(column: Number) -> Number:
    """Return a hash of a text, which is compared faster; collisions do not matter here."""
    return sa.func.hashtextextended(column, 0) if isinstance(column.type, sa.Text) else column


def missing(column: Number) -> sa.ColumnElement[bool]:
    """Return whether a value is null or an empty text."""
    if isinstance(column.type, sa.Text):
        return sa.func.coalesce(column, "") == ""
    return column.is_(None)


def mean_length(column: Number) -> Number:
    """Return the mean number of characters."""
    return sa.cast(sa.func.avg(sa.func.length(column)), sa.Double)


def garbled(column: Number) -> Number:
    """Return the share of rows with a text that was read in a wrong encoding."""
    # Signs of UTF-8 that was read as Latin-1, and the sign for an unreadable character.
    is_garbled = column.op("~")("[ÃÂâ][\u0080-\u00bf]|â€|\ufffd")
    # ASCII texts have none, and comparing two lengths is much cheaper than a pattern.
    return share(sa.and_(sa.func.octet_length(column) > sa.func.length(column), is_garbled))


def shift(column: Number, deciles: Sequence[float]) -> Number:
    """Return the greatest distance between the distributions now and then (Kolmogorov-Smirnov).

    Args:
        column: numbers.
        deciles: of the reference.
    """
    has_value = column.is_not(None)
    parts = [
        sa.func.abs(share(column <= decile, has_value) - (n + 1) / (len(deciles) + 1))
        for n, decile in enumerate(deciles)
    ]
    return sa.func.greatest(*parts) if parts else sa.null()


def _sorted(label: str, kind: sa.types.TypeEngine[Any]) -> sa.ColumnClause[Any]:
    column: sa.ColumnClause[Any] = sa.column(label, kind)
    return sa.table(SORTED, column).c[label]


class Groups:
    """Numbers about the groups of equal values of a column, as a relation of one row."""

    def __init__(self, relation: sa.FromClause, name: str) -> None:
        column = relation.c[name]
        of_value = (
            sa.select(sa.func.count().label("row_count"))
            .where(column.is_not(None))
            .group_by(_as_number(column))
            .subquery()
        )
        rows = of_value.c.row_count
        self._groups = sa.select(
            sa.cast(sa.func.count(), sa.Double).label("value_count"),
            sa.cast(sa.func.max(rows), sa.Double).label("most_rows"),
            sa.cast(sa.func.sum(rows), sa.Double).label("all_rows"),
        ).cte(f"{name}_groups")

    def variety(self) -> Number:
        """Return the number of different values per row with a value."""
        return self._per_row(self._groups.c.value_count)

    def largest(self) -> Number:
        """Return the share of the rows that have the most frequent value."""
        return self._per_row(self._groups.c.most_rows)

    def _per_row(self, number: Number) -> Number:
        return sa.select(_part(number, self._groups.c.all_rows)).scalar_subquery()


class Values:
    """The shares of the values of one column, now and in the reference, as a relation."""

    def __init__(self, cells: sa.CTE, name: str, reference: Mapping[str, float]) -> None:
        value = sa.cast(cells.c[name], sa.Text).label("value")
        counted = sa.func.sum(cells.c.row_count)
        now = (
            sa.select(value, (counted / sa.func.sum(counted).over()).label("part"))
            .where(value.is_not(None))
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
        """Return the share of rows with a value that is not in the reference."""
        unknown = sa.func.sum(self._part).filter(self._usual == 0)
        return self._of(sa.func.coalesce(unknown, 0.0))

    def least(self) -> Number:
        """Return the share of the value that lost most, relative to its usual share; 0: lost."""
        relative = self._part / sa.func.nullif(self._usual, 0.0)
        return self._of(sa.func.min(relative).filter(self._usual >= RARE_SHARE))

    def _of(self, number: Any) -> Number:  # noqa: ANN401 - an aggregate of any kind
        return sa.select(number).select_from(self._joined).scalar_subquery()
