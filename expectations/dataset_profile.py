"""The rules of a training set, checked before anything is fitted.

`core/dataset_profile.py` computes the numbers; those of the other suites are measured in SQL. A
number is None if there is nothing to compare, such as channels of a shop that records none.
"""

from collections.abc import Callable
from functools import partial

from expectations.rules import Rule, Scale, Severity
from intent_tasks.core.dataset import SPLITS
from intent_tasks.core.dataset_profile import (
    DRIFT_FEATURES,
    RECENT_DAYS,
    VOCABULARY_COLUMNS,
    DatasetProfile,
    SplitProfile,
)
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS

STOP, WARN = Severity.STOP, Severity.WARN

Number = float | None

LATER_SPLITS = SPLITS[1:]
"""Splits that are compared with the training split."""

MORE_HISTORY = "train later, or raise INTENT_TRAINING_DAYS"
LOOK_AT_DAYS = (
    "compare the days of both splits in shop.events; a load may have lost or doubled rows"
)
LOOK_AT_PURCHASES = (
    "compare the purchases of the days after both splits in shop.events; if the shop has really "
    "changed, wait until the window is past the change, or lower INTENT_TRAINING_DAYS"
)
LOOK_AT_IDS = (
    "compare the values of the days of both splits: the way they are written may have changed"
)
REPORT = (
    "the features are computed wrongly from these events: look for times or prices out of place"
)


def rule(
    name: str,
    severity: Severity,
    meaning: str,
    measure: Callable[[DatasetProfile], Number],
    advice: str,
    scale: Scale = Scale.LINEAR,
    slack: float = 0.1,
    sides: tuple[str, ...] = ("low", "high"),
) -> Rule:
    """Return a rule of the training set."""
    return Rule(name, severity, meaning, (), measure, scale, slack, sides, advice)


def _size_rules(part: str) -> list[Rule]:
    def of(count: Callable[[SplitProfile], Number]) -> Callable[[DatasetProfile], Number]:
        return lambda profile: count(profile.splits[part])

    longest = max(HORIZONS_DAYS)
    return [
        rule(f"{part}_rows", STOP, f"customers on the days to {part}", of(lambda s: float(s.rows)),
             "load more history, or raise INTENT_POPULATION_DAYS", Scale.RATIO, 0.5, ("low",)),
        rule(f"{part}_buyers", STOP, f"of these, who purchase within {longest} days",
             of(lambda s: float(s.buyers)), MORE_HISTORY, Scale.RATIO, 0.5, ("low",)),
        rule(f"{part}_others", STOP, f"of these, who do not purchase within {longest} days",
             of(lambda s: float(s.rows - s.buyers)), MORE_HISTORY, Scale.RATIO, 0.5, ("low",)),
        rule(f"{part}_base_rate", STOP,
             f"share of the customers on the days to {part} who purchase within "
             f"{MAIN_HORIZON_DAYS} days", of(lambda s: s.share(s.main_buyers)), LOOK_AT_PURCHASES,
             Scale.RATIO, 0.5),
        rule(f"{part}_one_day", WARN,
             f"share of the customers on the days to {part} who were there on one day only",
             of(lambda s: s.share(s.one_day)),
             "there is little to learn from; customer_id may name visits, not customers"),
    ]  # fmt: skip


def _change_rules(part: str) -> list[Rule]:
    """Return the rules that compare a later split with the training split."""

    def change(
        number: Callable[[SplitProfile, int], Number],
    ) -> Callable[[DatasetProfile], Number]:
        return lambda profile: _ratio(
            number(profile.splits[part], profile.anchors[part]),
            number(profile.splits["train"], profile.anchors["train"]),
        )

    return [
        rule(f"{part}_rows_change", STOP, f"customers a day to {part} relative to those to train",
             change(lambda s, days: s.rows / days), LOOK_AT_DAYS, Scale.RATIO, 0.5),
        rule(f"{part}_events_change", STOP,
             f"known events a customer on the days to {part} relative to those to train",
             change(lambda s, _: s.share(s.events)), LOOK_AT_DAYS, Scale.RATIO, 0.5),
        rule(f"{part}_base_rate_change", STOP, f"base rate of {part} relative to that of train",
             change(lambda s, _: s.share(s.main_buyers)), LOOK_AT_PURCHASES, Scale.RATIO, 0.5),
        *(rule(f"{part}_known_{name}", WARN,
               f"share of events of the last {RECENT_DAYS} days before {part} whose {name} has a "
               "code of its own, relative to train",
               change(partial(_coded_share, VOCABULARY_COLUMNS.index(name))), LOOK_AT_IDS,
               Scale.RATIO, 0.2, ("low",))
          for name in VOCABULARY_COLUMNS),
        *(rule(f"{part}_drift_{name.removesuffix('_log')}", WARN,
               f"greatest distance of the distributions of {name.removesuffix('_log')} in train "
               f"and {part}, 0 to 1", partial(_drift, part, name), LOOK_AT_DAYS, sides=("high",))
          for name in DRIFT_FEATURES),
    ]  # fmt: skip


def _ratio(now: Number, then: Number) -> Number:
    return None if now is None or not then else now / then


def _coded_share(column: int, rows: SplitProfile, _: int) -> Number:
    return rows.share(int(rows.known[column]), rows.recent)


def _drift(part: str, feature: str, profile: DatasetProfile) -> Number:
    """Return the greatest distance between two distributions (Kolmogorov-Smirnov)."""
    then, now = (profile.splits[name].drift_values(feature) for name in ("train", part))
    if not len(then) or not len(now):
        return None
    from scipy.stats import ks_2samp  # seconds of start-up time, for training only

    return float(ks_2samp(then, now, method="asymp").statistic)


def _not_finite(profile: DatasetProfile) -> Number:
    splits = profile.splits.values()
    values = sum(s.values for s in splits)
    return sum(s.not_finite for s in splits) / values if values else None


RULES: list[Rule] = [
    *(each for part in SPLITS for each in _size_rules(part)),
    *(each for part in LATER_SPLITS for each in _change_rules(part)),
    rule("features_not_finite", STOP, "share of values of features that are not finite",
         _not_finite, REPORT, slack=0.0, sides=("high",)),
    rule("features_largest", STOP, "largest absolute value of a feature",
         lambda profile: max(s.largest for s in profile.splits.values()), REPORT, Scale.RATIO, 0.5,
         ("high",)),
]  # fmt: skip
