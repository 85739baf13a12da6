"""All rules of the contract, by suite."""

from collections.abc import Collection, Sequence

from expectations import consent, customers, dataset_profile, events, predictions, products
from expectations.rules import Rule
from expectations.thresholds import Thresholds
from intent_tasks.errors import BadInput

RULES: dict[str, list[Rule]] = {
    "events": events.RULES,
    "products": products.RULES,
    "customers": [*customers.RULES, *consent.RULES],
    "training_set": dataset_profile.RULES,
    "predictions": predictions.RULES,
}
"""The rules of each suite that are measured on its rows alone."""

COMPARISONS: list[Rule] = [*predictions.COMPARISONS, *consent.COMPARISONS]
"""Rules that compare the rows with other days or tables."""

COMPARISON_MEANINGS = {
    "rows": "rows",
    "rows_of_weekday": "rows relative to the median of the same weekday in the last four weeks",
    **{rule.name: rule.meaning for rule in COMPARISONS},
}
"""Meaning of each rule of a comparison; `rows` and `rows_of_weekday` belong to every suite."""


def meanings(suite: str) -> dict[str, str]:
    """Return the meaning of each rule of a suite."""
    return COMPARISON_MEANINGS | {rule.name: rule.meaning for rule in RULES.get(suite, [])}


def advice(suite: str, name: str) -> str:
    """Return the advice for a broken rule; empty: repair the load."""
    rules = [*RULES[suite], *COMPARISONS]
    return next((rule.advice for rule in rules if rule.name == name), "")


def applying(
    suite: str, limits: Thresholds, rules: Sequence[Rule], columns: Collection[str]
) -> list[Rule]:
    """Return the rules that have bounds and whose columns exist.

    Raises:
        BadInput: there are bounds on a rule that does not exist.
    """
    if unknown := sorted(limits.rules.keys() - meanings(suite).keys()):
        raise BadInput(
            f"The thresholds name {suite}.{unknown[0]}, which is no rule of the contract. "
            f"`intent contract show {suite}` lists the rules; remove or correct the line."
        )
    existing = set(columns)
    return [r for r in rules if r.name in limits.rules and existing.issuperset(r.needs)]
