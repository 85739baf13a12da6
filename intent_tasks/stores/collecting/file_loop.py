"""Load files one after the other: a file that cannot be used costs no other file."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from intent_tasks import bug_report
from intent_tasks.errors import BadInput, IntentError, Refused
from intent_tasks.stores.collecting.discovery import File

Report = Callable[[str], None]
"""Receives a line of text about a file."""

MOST_NAMED = 5
"""Files that cannot be used, or are passed over, and are named."""


@dataclass
class Counts:
    """What one call did with its files: files and rows by outcome, and what went wrong.

    Args:
        files: files by outcome.
        rows: rows by outcome.
        problems: messages about files that cannot be used.
        faults: messages about files with which the program failed.
    """

    files: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def require_all(self, count: int) -> None:
        """Make sure that each of so many files could be used.

        Raises:
            BadInput: some cannot be used.
            IntentError: with some the program failed.
        """
        bad = [*self.faults, *self.problems]
        if not bad:
            return
        messages = " ".join(bad[:MOST_NAMED])
        if len(bad) > MOST_NAMED:
            messages += f" And {len(bad) - MOST_NAMED} more."
        if count > 1:
            messages = (
                f"{len(bad)} of {count} files cannot be used; the others are collected. {messages}"
            )
        raise IntentError(messages) if self.faults else BadInput(messages)


class Loading(Protocol):
    """One file on its way into the shop."""

    @property
    def url(self) -> str:
        """Its address."""

    @property
    def label(self) -> str:
        """What lines about it begin with."""

    def load(self, counts: Any) -> str:  # noqa: ANN401 - the counts of its own kind of file
        """Load it, count its rows, and return its outcome."""


def label_files(files: Sequence[File]) -> Iterator[tuple[File, str]]:
    """Yield each file with the label that lines about it begin with."""
    for number, file in enumerate(files, 1):
        yield file, f"[{number}/{len(files)}] {file.url}:"


def load_each(loadings: Iterable[Loading], counts: Counts, report: Report) -> None:
    """Load files, and count them by outcome.

    Args:
        loadings: files on their way into the shop.
        counts: receives the files, their rows and the problems.
        report: receives a line about each file that is not loaded.

    Raises:
        TemporaryFailure: the database gave up; the same call continues where it was.
    """
    for loading in loadings:
        try:
            counts.files[loading.load(counts)] += 1
        except Refused as error:
            report(f"{loading.label} refused: {error}")
            counts.problems.append(str(error))
        except IntentError:
            raise
        except Exception as error:  # a fault of ours costs only this file
            counts.faults.append(_describe_fault(loading.url, error))
            report(counts.faults[-1])


def _describe_fault(url: str, error: Exception) -> str:
    return (
        f"{url} could not be collected: the program failed with {bug_report.describe(error)}. "
        "What was loaded of the file stays. Report it."
    )
