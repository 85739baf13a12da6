"""The contract at work: what was measured is judged, written down, and turned into a message."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

import sqlalchemy as sa

from expectations import (
    consent,
    customers,
    dataset_profile,
    events,
    predictions,
    products,
    thresholds,
)
from expectations.rules import Rule, Severity
from expectations.thresholds import Bound, Thresholds
from intent_tasks.errors import BadInput, Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.tables import contract_results

Numbers = Mapping[str, float | None]


@dataclass(frozen=True)
class Measured:
    """What was measured of one suite.

    Args:
        suite: its name.
        row_count: rows that were there.
        numbers: by rule; None where nothing could be measured.
        bounds: of the rules that apply.
        meanings: of the rules, in words.
    """

    suite: str
    row_count: int
    numbers: dict[str, float | None]
    bounds: dict[str, Bound]
    meanings: dict[str, str]


@dataclass(frozen=True)
class Result:
    """What became of one suite.

    Args:
        measured: what was judged.
        broken: names of the rules that were not kept.
        page: in the Data Docs, below INTENT_HOME.
    """

    measured: Measured
    broken: list[str]
    page: str

    def names(self, *severities: Severity) -> list[str]:
        """Return the broken rules of these severities."""
        bounds = self.measured.bounds
        return [name for name in self.broken if bounds[name].severity in severities]

    def said(self, names: Sequence[str]) -> str:
        """Return broken rules as a person says them."""
        return "; ".join(self._said(name) for name in names)

    def _said(self, name: str) -> str:
        observed = self.measured.numbers[name]
        seen = "nothing to measure" if observed is None else f"{observed:.6g}"
        meaning, bound = self.measured.meanings[name], self.measured.bounds[name]
        said = f"{self.measured.suite}.{name} ({meaning}) is {seen}, allowed {bound}"
        rules = [*RULES[self.measured.suite], *consent.BESIDE]
        advice = next((r.advice for r in rules if r.name == name), "")
        return f"{said}: {advice}" if advice else said


def applying(
    suite: str, limits: Thresholds, rules: Sequence[Rule], available: Sequence[str]
) -> list[Rule]:
    """Return the rules that have bounds and whose columns are there.

    Raises:
        BadInput: there are bounds on a rule that does not exist.
    """
    known = meanings(suite)
    if unknown := sorted(limits.rules.keys() - known.keys()):
        raise BadInput(
            f"The thresholds name {suite}.{unknown[0]}, which is no rule of the contract. "
            f"`intent contract show {suite}` lists the rules; remove or correct the line."
        )
    there = set(available)
    return [r for r in rules if r.name in limits.rules and there.issuperset(r.needs)]


RULES = {
    "events": events.RULES,
    "products": products.RULES,
    "customers": [*customers.RULES, *consent.RULES],
    "training_set": dataset_profile.RULES,
    "predictions": predictions.RULES,
}
"""The rules of each suite."""


def meanings(suite: str) -> dict[str, str]:
    """Return every rule of a suite with what it measures."""
    return ADDED | {rule.name: rule.meaning for rule in RULES.get(suite, [])}


ADDED = {
    "rows": "rows",
    "rows_of_weekday": "rows relative to the median of the same weekday in the last four weeks",
    **{rule.name: rule.meaning for rule in (*predictions.BESIDE, *consent.BESIDE)},
}
"""Rules whose number is not of the rows alone, with their meaning."""


def judge(settings: Settings, as_of_date: date, measured: Measured) -> Result:
    """Judge what was measured, with a page, and write each rule to `intent.contract_results`.

    Raises:
        Refused: a rule could not be judged; that is not taken for a pass.
        TemporaryFailure: the database cannot be reached.
    """
    from expectations.suite import suite
    from intent_tasks.stores.contracts import data_docs

    judged = data_docs.judge(
        settings.home,
        suite(measured.suite, measured.bounds, measured.meanings),
        measured.numbers,
        str(as_of_date),
        settings.definition.day_end(as_of_date),
    )
    broken = [name for name, kept in judged.kept.items() if not kept]
    result = Result(measured, broken, judged.page)
    _write(settings, as_of_date, result)
    return result


REFUSES = (Severity.STOP, Severity.QUARANTINE)
"""A bound on rows set aside that is exceeded stops the day as well."""

MOST_NAMED = 5
"""Rules of one suite that a message names; all are on the page."""


STAYS = "Nothing is published from it, and the predictions that are there stay."


def refuse(settings: Settings, what: str, results: Sequence[Result], then: str = STAYS) -> None:
    """Raise when rules are broken that stop a day.

    Args:
        settings: where the pages are.
        what: breaks the contract, as the beginning of a sentence.
        results: of each suite.
        then: what follows from it, as a sentence.

    Raises:
        Refused: names each rule, what was observed, what is allowed, and the page.
    """
    broken = [r for r in results if r.names(*REFUSES)]
    if not broken:
        return
    said = "; ".join(r.said(r.names(*REFUSES)[:MOST_NAMED]) for r in broken)
    more = sum(len(r.names(*REFUSES)[MOST_NAMED:]) for r in broken)
    raise Refused(
        f"{what}: {said}{f'; and {more} more rules' if more else ''}. "
        f"{then} Look at {settings.home / broken[0].page} and in intent.contract_results, mend the "
        "cause and run the day again; where the shop itself has changed, change the bound "
        "(docs/contract.md).",
        broken[0].page,
    )


def in_force(settings: Settings) -> dict[str, Thresholds]:
    """Return the thresholds of all suites; see `expectations.thresholds.read`."""
    return thresholds.read(settings.home)


def _write(settings: Settings, as_of_date: date, result: Result) -> None:
    measured = result.measured
    of_suite = sa.and_(
        contract_results.c.as_of_date == as_of_date, contract_results.c.suite == measured.suite
    )
    rows = [_row(as_of_date, result, rule) for rule in measured.bounds]
    # Also of a day that is refused, whose own transaction will not be committed.
    with postgres.changing(
        settings.pipeline_url, f"contract/{measured.suite}/{as_of_date}"
    ) as connection:
        connection.execute(sa.delete(contract_results).where(of_suite))
        if rows:
            connection.execute(sa.insert(contract_results), rows)


def _row(as_of_date: date, result: Result, rule: str) -> dict[str, object]:
    measured, bound = result.measured, result.measured.bounds[rule]
    observed = measured.numbers[rule]
    of_rows = bound.severity is Severity.QUARANTINE and observed is not None
    return {
        "as_of_date": as_of_date,
        "suite": measured.suite,
        "rule": rule,
        "severity": str(bound.severity),
        "passed": rule not in result.broken,
        "observed": observed,
        "low": bound.low,
        "high": bound.high,
        "failed_rows": round((observed or 0) * measured.row_count) if of_rows else None,
        "row_count": measured.row_count,
        "meaning": measured.meanings[rule],
        "page": result.page,
        "checked_at": datetime.now(UTC),
    }
