"""Judge the profile of a suite, record the results, and refuse a day that breaks the contract."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import sqlalchemy as sa

from expectations import catalogue, thresholds
from expectations.rules import Severity
from expectations.thresholds import Thresholds
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.stores.contracts.profile import Profile
from intent_tasks.tables import contract_results


@dataclass(frozen=True)
class Result:
    """The judgement of one suite.

    Args:
        profile: the numbers and their bounds.
        broken: names of the rules that are broken.
        page: path of its page of the Data Docs, below INTENT_HOME.
    """

    profile: Profile
    broken: list[str]
    page: str

    def names(self, *severities: Severity) -> list[str]:
        """Return the broken rules of these severities."""
        bounds = self.profile.bounds
        return [name for name in self.broken if bounds[name].severity in severities]

    def describe(self, names: Sequence[str]) -> str:
        """Return broken rules in words: what was observed, what is allowed, and advice."""
        return "; ".join(self._describe(name) for name in names)

    def _describe(self, name: str) -> str:
        profile = self.profile
        observed = profile.numbers[name]
        number = "nothing to measure" if observed is None else f"{observed:.6g}"
        meaning, bound = profile.meanings[name], profile.bounds[name]
        message = f"{profile.suite}.{name} ({meaning}) is {number}, allowed {bound}"
        advice = catalogue.advice(profile.suite, name)
        return f"{message}: {advice}" if advice else message


def judge(settings: Settings, as_of_date: date, profile: Profile) -> Result:
    """Compare a profile with its bounds, and write a page and `intent.contract_results`.

    Raises:
        Refused: a rule could not be judged, which counts as broken.
        TemporaryFailure: the database cannot be reached.
    """
    from expectations.suite import suite
    from intent_tasks.stores.contracts import data_docs

    judged = data_docs.judge(
        settings.home,
        suite(profile.suite, profile.bounds, profile.meanings),
        profile.numbers,
        str(as_of_date),
        settings.definition.day_end(as_of_date),
    )
    broken = [name for name, kept in judged.kept.items() if not kept]
    result = Result(profile, broken, judged.page)
    _write(settings, as_of_date, result)
    return result


REFUSES = (Severity.STOP, Severity.QUARANTINE)
"""Severities that stop a day. Of rows that are set aside, more than the bound stop it too."""

MOST_NAMED = 5
"""Rules of one suite that a message names. The page shows all of them."""

NOTHING_PUBLISHED = "Nothing is published from it, and the predictions that are there stay."


def refuse(
    settings: Settings, what: str, results: Sequence[Result], then: str = NOTHING_PUBLISHED
) -> None:
    """Raise when a rule is broken that stops a day.

    Args:
        settings: of this installation.
        what: the beginning of the message: what breaks the contract.
        results: of each suite.
        then: the consequence, as a sentence.

    Raises:
        Refused: names each rule, what was observed, what is allowed, and the page.
    """
    broken = [r for r in results if r.names(*REFUSES)]
    if not broken:
        return
    rules = "; ".join(r.describe(r.names(*REFUSES)[:MOST_NAMED]) for r in broken)
    more = sum(len(r.names(*REFUSES)[MOST_NAMED:]) for r in broken)
    raise Refused(
        f"{what}: {rules}{f'; and {more} more rules' if more else ''}. "
        f"{then} Look at {settings.home / broken[0].page} and in intent.contract_results, mend the "
        "cause and run the day again; where the shop itself has changed, change the bound "
        "(docs/contract.md).",
        broken[0].page,
    )


def in_force(settings: Settings) -> dict[str, Thresholds]:
    """Return the thresholds of all suites; see `expectations.thresholds.read`."""
    return thresholds.read(settings.home)


def _write(settings: Settings, as_of_date: date, result: Result) -> None:
    suite = result.profile.suite
    is_suite = sa.and_(
        contract_results.c.as_of_date == as_of_date, contract_results.c.suite == suite
    )
    rows = [_row(as_of_date, result, rule) for rule in result.profile.bounds]
    # A transaction of its own: that of a day that is refused will not be committed.
    with postgres.changing(settings.pipeline_url, f"contract/{suite}/{as_of_date}") as connection:
        connection.execute(sa.delete(contract_results).where(is_suite))
        if rows:
            connection.execute(sa.insert(contract_results), rows)


def _row(as_of_date: date, result: Result, rule: str) -> dict[str, object]:
    profile, bound = result.profile, result.profile.bounds[rule]
    observed = profile.numbers[rule]
    counts_rows = bound.severity is Severity.QUARANTINE and observed is not None
    return {
        "as_of_date": as_of_date,
        "suite": profile.suite,
        "rule": rule,
        "severity": str(bound.severity),
        "passed": rule not in result.broken,
        "observed": observed,
        "low": bound.low,
        "high": bound.high,
        "failed_rows": round((observed or 0) * profile.row_count) if counts_rows else None,
        "row_count": profile.row_count,
        "meaning": profile.meanings[rule],
        "page": result.page,
        "checked_at": datetime.now(UTC),
    }
