"""Counts of one call of `collect`: every file and every row."""

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from intent_tasks.formats.convert import Batch
from intent_tasks.stores.collecting.file_ledger import Progress
from intent_tasks.stores.collecting.file_loop import Counts

COUNTED = ("read", "loaded", "repeated", "ignored", "quarantined")
"""Rows that the ledger counts for each block of a file, as `rows_…`."""


class UnreadableValues(NamedTuple):
    """Unreadable values of a column.

    Args:
        rows: number of unreadable values.
        given: number of all values.
        first: file and row of the first unreadable one.
        reason: sentence about why, where the type of a field shows it; else empty.
    """

    rows: int
    given: int
    first: str
    reason: str = ""


@dataclass
class Totals(Counts):
    """Counts of one call of `collect`.

    Args:
        absent: columns without a field that are reported.
        unreadable: column → its unreadable values.
        skipped: rows that are no events, by the condition of the format.
    """

    absent: set[str] = field(default_factory=set)
    unreadable: dict[str, UnreadableValues] = field(default_factory=dict)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, before: Progress, after: Progress) -> None:
        """Count what a block added to a file."""
        for name in COUNTED:
            self.rows[name] += getattr(after, f"rows_{name}") - getattr(before, f"rows_{name}")

    def count_batch(self, url: str, batch: Batch) -> None:
        """Count the values of a batch that cannot be read, and the rows that the format skips."""
        for column, rows, given, first in batch.unreadable:
            so_far = self.unreadable.get(column, UnreadableValues(0, 0, f"row {first} of {url}"))
            reason = so_far.reason or batch.reasons.get(column, "")
            self.unreadable[column] = UnreadableValues(
                so_far.rows + rows, so_far.given + given, so_far.first, reason
            )
        self.skipped.update(batch.skipped)

    def summary(self) -> str:
        """Return the counts as sentences."""
        rows, files = self.rows, self.files
        other, changed = files["in another format"], files["rewritten"]
        in_other = f" ({other} in another format; they stay as they were read)" if other else ""
        rewritten = f" {changed} of them had changed since they were collected." if changed else ""
        gone = f" {rows['gone']:,} events are no longer in their file, and stay." if changed else ""
        ignored = f"{rows['ignored']:,} rows are no events{self._skipped()}"
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


def describe_unreadable(column: str, lost: UnreadableValues) -> str:
    """Return the warning about the unreadable values of a column."""
    meant = "; revenue is too low by them" if column == "price" else ""
    return (
        f"WARNING: {column} of {lost.rows:,} events cannot be read and is null{meant} "
        f"({lost.rows / lost.given:.0%} of those that have one; the first is {lost.first}). "
        f"{lost.reason or 'Say in the format how it is written: docs/collect.md.'}"
    )
