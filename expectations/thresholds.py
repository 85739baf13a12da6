"""The thresholds of the contract: a TOML file that a person has accepted.

`thresholds.toml` in this folder holds for every shop. `intent contract fit` proposes a file for one
shop from its clean days.
"""

import json
import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from expectations.measures import Reference
from expectations.rules import Severity
from intent_tasks.errors import BadInput

SHIPPED = Path(__file__).with_name("thresholds.toml")

FILE = "contract.toml"
"""Thresholds of an installation, in INTENT_HOME. The shipped ones hold without the file, and for
each suite that has no rule in it."""

SUITES = ("events", "products", "customers", "training_set", "predictions")

CONSENT = "consent_"
"""Prefix of rules whose shipped bounds hold unless the file of an installation names them."""


@dataclass(frozen=True)
class Bound:
    """The allowed range of a rule, ends included; None: without a bound."""

    severity: Severity
    low: float | None = None
    high: float | None = None

    def allows(self, value: float | None) -> bool:
        """Return whether a value is allowed; None, not measured, is not."""
        if value is None:
            return False
        low = -math.inf if self.low is None else self.low
        return low <= value <= (math.inf if self.high is None else self.high)

    def __str__(self) -> str:
        """Return the allowed range in words."""
        if self.low is None:
            return f"at most {self.high:.6g}"
        if self.high is None:
            return f"at least {self.low:.6g}"
        return f"{self.low:.6g} to {self.high:.6g}"


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of one suite.

    Args:
        rules: bounds by name of the rule.
        columns: column → kind of its type when the thresholds were fitted.
        reference: with which rules of drift compare.
    """

    rules: dict[str, Bound] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    reference: Reference = field(default_factory=lambda: Reference({}, {}))


def read(home: Path) -> dict[str, Thresholds]:
    """Return the thresholds in force, by suite.

    Raises:
        BadInput: the file cannot be read, or has an unknown name or value; the message gives the
            place.
    """
    shipped = parse(SHIPPED)
    if not (home / FILE).exists():
        return shipped
    own = parse(home / FILE)
    return {suite: _completed(own[suite], shipped[suite]) for suite in SUITES}


def _completed(own: Thresholds, shipped: Thresholds) -> Thresholds:
    """Add the shipped bounds of consent; also all others where the file bounds nothing else."""
    is_consent = [name.startswith(CONSENT) for name in own.rules]
    added = {n: b for n, b in shipped.rules.items() if all(is_consent) or n.startswith(CONSENT)}
    return replace(own, rules=added | own.rules)


def parse(path: Path) -> dict[str, Thresholds]:
    """Return the thresholds of a file; see `read`."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(
            f"The thresholds {path} cannot be read: {error}. Repair the file, or remove it to use "
            "the shipped ones."
        ) from None
    unknown = set(content) - {*SUITES, "fitted"}
    if unknown:
        raise _wrong(path, sorted(unknown)[0], f"suites are {', '.join(SUITES)}")
    return {suite: _suite(path, suite, content.get(suite, {})) for suite in SUITES}


def _suite(path: Path, suite: str, content: Any) -> Thresholds:  # noqa: ANN401 - not checked yet
    empty: dict[str, Any] = {"rules": {}, "columns": {}, "shares": {}, "deciles": {}}
    if not isinstance(content, dict) or set(content) - set(empty):
        raise _wrong(path, suite, f"it holds the tables {', '.join(empty)}")
    parts: dict[str, Any] = empty | content
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise _wrong(path, f"{suite}.{name}", "it is a table")
    rules = {
        name: _bound(path, f"{suite}.rules.{name}", value) for name, value in parts["rules"].items()
    }
    reference = Reference(
        {c: _numbers(path, f"{suite}.shares.{c}", v) for c, v in parts["shares"].items()},
        {c: [float(x) for x in v] for c, v in parts["deciles"].items()},
    )
    return Thresholds(rules, parts["columns"], reference)


def _bound(path: Path, place: str, value: Any) -> Bound:  # noqa: ANN401 - not checked yet
    if not isinstance(value, dict) or set(value) - {"severity", "low", "high"}:
        raise _wrong(path, place, "write { severity = …, low = …, high = … }")
    if value.get("severity") not in list(Severity):
        raise _wrong(path, f"{place}.severity", f"it is one of {', '.join(Severity)}")
    limits = {k: v for k, v in value.items() if k != "severity"}
    numbers = _numbers(path, place, limits)
    if not numbers or numbers.get("low", -1e308) > numbers.get("high", 1e308):
        raise _wrong(path, place, "give low, high or both, and low not above high")
    return Bound(Severity(value["severity"]), numbers.get("low"), numbers.get("high"))


def _numbers(path: Path, place: str, values: Any) -> dict[str, float]:  # noqa: ANN401
    for name, value in values.items():
        # Neither NaN nor infinity: a comparison with NaN is never true.
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e308:
            raise _wrong(path, f"{place}.{name}", "it is a number")
    return {name: float(value) for name, value in values.items()}


def _wrong(path: Path, place: str, allowed: str) -> BadInput:
    return BadInput(f"The thresholds {path} are wrong at {place}: {allowed}.")


def text(
    header: str, suites: Mapping[str, Thresholds], meanings: Mapping[str, Mapping[str, str]]
) -> str:
    """Return thresholds as the text of their file, each rule with its meaning."""
    lines = [*(f"# {line}".rstrip() for line in header.splitlines()), ""]
    for suite, thresholds in suites.items():
        lines += _table(
            f"{suite}.columns", {k: json.dumps(v) for k, v in thresholds.columns.items()}
        )
        if thresholds.rules:
            lines.append(f"[{suite}.rules]")
        for name, bound in thresholds.rules.items():
            lines += [f"# {meanings[suite].get(name, name)}", f"{name} = {_inline(bound)}"]
        lines.append("")
        for column, shares in thresholds.reference.shares.items():
            lines += _table(f"{suite}.shares.{column}", {k: f"{v:.4g}" for k, v in shares.items()})
        deciles = thresholds.reference.deciles
        lines += _table(
            f"{suite}.deciles",
            {c: json.dumps([float(f"{v:.6g}") for v in d]) for c, d in deciles.items()},
        )
    return "\n".join(lines).rstrip() + "\n"


def _table(name: str, values: Mapping[str, str]) -> list[str]:
    if not values:
        return []
    return [
        f"[{name}]",
        *(f"{json.dumps(k, ensure_ascii=False)} = {v}" for k, v in values.items()),
        "",
    ]


def _inline(bound: Bound) -> str:
    limits = {"low": bound.low, "high": bound.high}
    limits_text = [f"{k} = {v:.4g}" for k, v in limits.items() if v is not None]
    return "{ " + ", ".join([f'severity = "{bound.severity}"', *limits_text]) + " }"
