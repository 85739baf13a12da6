"""What one call of `collect` did: every file and every row of it, counted."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from intent_tasks.formats.convert import Batch
from intent_tasks.stores.collecting.file_ledger import Progress
from intent_tasks.stores.collecting.file_loop import Counts

COUNTED = ("read", "loaded", "repeated", "ignored", "quarantined")
"""Rows that the ledger counts for each block of a file, as `rows_…`."""


class Lost(NamedTuple):
    """Values of a column that cannot be read.

    Args:
        rows: how many.
        given: how many values there are.
        first: file and row of the first.
        reason: a sentence about why, where the type of a field shows it; else empty.
    """

    rows: int
    given: int
    first: str
    reason: str = ""


@dataclass
class Totals(Counts):
    """What one call of `collect` did.

    Args:
        absent: columns that are named already because a file has no field for them.
        unreadable: column → its values that cannot be read.
        skipped: rows that are no events, by the condition of the format.
    """

    absent: set[str] = field(default_factory=set)
    unreadable: dict[str, Lost] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, before: Progress, after: Progress) -> None:
        """Count what a block added to a file."""
        for name in COUNTED:
            self.rows[name] += getattr(after, f"rows_{name}") - getattr(before, f"rows_{name}")

    def count_batch(self, url: str, batch: Batch) -> None:
        """Count the values of a batch that cannot be read, and the rows that the format skips."""
        for column, rows, given, first in batch.unreadable:
            lost = self.unreadable.get(column, Lost(0, 0, f"row {first} of {url}"))
            reason = lost.reason or batch.reasons.get(column, "")
            self.unreadable[column] = Lost(lost.rows + rows, lost.given + given, lost.first, reason)
        self.skipped.update(batch.skipped)

    def summary(self) -> str:
        """Return it as sentences."""
        rows, files = self.rows, self.files
        other, changed = files["in another format"], files["rewritten"]
        in_other = f" ({other} in another format, and they stay as that read them)" if other else ""
        rewritten = f" {changed} of them had changed since they were collected." if changed else ""
        gone = f" {rows['gone']:,} events are no longer in their file, and stay." if changed else ""
        ignored = f"{rows['ignored']:,} rows tell of no event{self._skipped()}"
        return (
            f"{files['loaded']} files collected, {files['known']} known before{in_other}: "
            f"{rows['loaded']:,} events loaded, {rows['repeated']:,} were there already, "
            f"{ignored}, {rows['quarantined']:,} set aside in "
            f"intent.quarantine. {rows['read']:,} rows read.{rewritten}{gone}{self._warnings()}"
        )

    def _skipped(self) -> str:
        rules = (f"{rule}: {count:,}" for rule, count in self.skipped.most_common())
        return f" ({'; '.join(rules)})" if self.skipped else ""

    def _warnings(self) -> str:
        return "".join(
            f" {describe_unreadable(name, lost)}" for name, lost in self.unreadable.items()
        )


def describe_unreadable(column: str, lost: Lost) -> str:
    """Return what to say of values that cannot be read."""
    meant = "; revenue is too low by them" if column == "price" else ""
    return (
        f"WARNING: {column} of {lost.rows:,} events cannot be read and is null{meant} "
        f"({lost.rows / lost.given:.0%} of those that have one; the first is {lost.first}). "
        f"{lost.reason or 'Say in the format how it is written: docs/collect.md.'}"
    )
