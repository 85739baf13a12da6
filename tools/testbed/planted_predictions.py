"""Exact predictions of a simulated shop, and corruptions of a day of them, as SQL.

The predictions are the best possible ones on every day, so that every finding is about the contract
and none about a model.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np
import pyarrow as pa

from intent_tasks import simulator
from intent_tasks.core.bands import bands
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from intent_tasks.settings import Settings
from intent_tasks.simulator.bayes_optimal import probabilities
from intent_tasks.simulator.observed import observe
from intent_tasks.stores import ledger, postgres
from intent_tasks.stores.contracts.prediction_profile import Pinned
from tools.testbed.planted_corruptions import Corruption

VERSION = 3
CHANNELS = ("direct", "organic", "ads", "e-mail", "social")


def publish(
    settings: Settings, config: simulator.Config, events: pa.Table, days: Iterable[date]
) -> Pinned:
    """Write the predictions of some days and the receipts of `pin` for them; return the pin."""
    people = simulator.customers(config)
    observed, names = observe(config, events, people), np.array(people["customer_id"].to_pylist())
    base_rate: float | None = None
    with postgres.changing(settings.pipeline_url, "benchmark") as connection:
        for day in days:
            number = (day - config.first_day).days
            since = max(0, number + 1 - Definition().population_days)
            customers = np.flatnonzero(observed.sessions[since : number + 1].any(0))
            predicted = probabilities(config, observed, number, HORIZONS_DAYS)[customers]
            main = predicted[:, HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)]
            base_rate = base_rate or float(main.mean())
            postgres.ensure_partition(connection, day)
            rows = _rows(day, names[customers], customers, predicted, bands(main, base_rate))
            postgres.copy_in(connection, "intent.predictions", rows)
            rates = {str(MAIN_HORIZON_DAYS): base_rate}
            receipt = {"model_version": VERSION, "base_rates": rates}
            ledger.record(connection, "pin", day, receipt)
    return Pinned(VERSION, base_rate or 0.0)


def _rows(
    day: date,
    names: np.ndarray,
    customers: np.ndarray,
    predicted: np.ndarray,
    band_names: list[str],
) -> pa.Table:
    count = len(names)
    constants = {
        "as_of_date": day,
        "role": "champion",
        "reason": "View of p000001 on that day raised it",
        "fallback_level": "model",
        "model_version": VERSION,
        "run_id": "run",
        "scored_at": f"{day} 06:00:00+00",
    }
    return pa.table(
        {
            **{name: pa.array([value] * count) for name, value in constants.items()},
            "customer_id": names,
            "band": band_names,
            "channel": [CHANNELS[n % len(CHANNELS)] for n in customers],
            **{f"probability_{h}d": predicted[:, n] for n, h in enumerate(HORIZONS_DAYS)},
        }
    )


@dataclass(frozen=True)
class PredictionCorruption(Corruption):
    """A corruption of a day of predictions; `before` is the day before."""

    def statements(self, place: str) -> list[str]:
        """Return everything to execute: clean copies first, then the corruption."""
        of_day = "SELECT * FROM intent.predictions WHERE as_of_date = :day"
        before = f"{of_day} - 1"
        return [
            f"DROP SCHEMA IF EXISTS {place} CASCADE",
            f"CREATE SCHEMA {place}",
            f"CREATE TABLE {place}.predictions AS {of_day}",
            f"CREATE TABLE {place}.before AS {before}",
            f"SET LOCAL search_path = {place}",
            *self.sql,
            "INSERT INTO predictions SELECT * FROM before",
        ]


_ALL = [f"probability_{h}d" for h in HORIZONS_DAYS]


def _each(name: str, change: str, where: str = "true") -> PredictionCorruption:
    """Change all probabilities; `p` in the change is the probability."""
    changes = ", ".join(f"{one} = {change.replace('p', one)}" for one in _ALL)
    return PredictionCorruption(name, (f"UPDATE predictions SET {changes} WHERE {where}",))


def _set(name: str, change: str, where: str = "true") -> PredictionCorruption:
    return PredictionCorruption(name, (f"UPDATE predictions SET {change} WHERE {where}",))


def _lose(name: str, where: str) -> PredictionCorruption:
    return PredictionCorruption(name, (f"DELETE FROM predictions WHERE {where}",))


def _part(of: int) -> str:
    return f"abs(hashtextextended(customer_id, 1) % {of}) = 0"


_SHUFFLED = """
WITH kept AS (SELECT *, row_number() OVER (ORDER BY customer_id) AS n FROM predictions),
     other AS (SELECT *, row_number() OVER (ORDER BY md5(customer_id)) AS n FROM predictions)
UPDATE predictions AS p SET probability_1d = o.probability_1d, probability_3d = o.probability_3d,
       probability_7d = o.probability_7d, probability_14d = o.probability_14d, band = o.band
FROM kept JOIN other AS o USING (n) WHERE kept.customer_id = p.customer_id
"""
_OF_BEFORE = """
UPDATE predictions AS p SET probability_1d = b.probability_1d, probability_3d = b.probability_3d,
       probability_7d = b.probability_7d, probability_14d = b.probability_14d, band = b.band
FROM before AS b WHERE b.customer_id = p.customer_id
"""

CORRUPTIONS = (
    _set("a constant score", "probability_1d = 0.02, probability_3d = 0.05, probability_7d = 0.11, "
         "probability_14d = 0.19, band = 'cool'"),
    _each("all scores 0", "0"),
    _each("all scores 1", "1"),
    _each("scores halved", "p / 2"),
    _each("scores doubled", "least(1, p * 2)"),
    _each("scores / 100 (percent twice)", "p / 100"),
    _each("scores turned round", "1 - p"),
    _each("scores rounded to a tenth", "round(p::numeric, 1)"),
    _each("scores cut at 0.2", "least(p, 0.2)"),
    _each("log-odds doubled", "p * p / (p * p + (1 - p) * (1 - p))"),
    _each("scores of a fifth of the customers 0", "0", _part(5)),
    PredictionCorruption("scores given to other customers", (_SHUFFLED,)),
    PredictionCorruption("scores of the day before", (_OF_BEFORE,)),
    _set("1 and 14 days swapped",
         "probability_1d = probability_14d, probability_14d = probability_1d"),
    _set("7 days as 1 day", "probability_7d = probability_1d"),
    _set("an older model version in a tenth of the rows", f"model_version = {VERSION - 1}",
         _part(10)),
    _set("an older model version everywhere", f"model_version = {VERSION - 1}"),
    _lose("half of the customers missing", _part(2)),
    _lose("a bucket of eight missing", _part(8)),
    _lose("customers of a channel missing", "channel = 'e-mail'"),
    _lose("hot customers missing", "band = 'hot'"),
    _lose("all customers missing", "true"),
    PredictionCorruption("all customers twice", (
        "INSERT INTO predictions SELECT * FROM predictions",)),
    PredictionCorruption("a tenth of the customers twice", (
        f"INSERT INTO predictions SELECT * FROM predictions WHERE {_part(10)}",)),
    _set("reasons lost", "reason = NULL, reasons = NULL"),
    _set("a third by fallback", "fallback_level = 'base_rate'", _part(3)),
    _set("all customers hot", "band = 'hot'"),
    _set("channel lost", "channel = NULL"),
)  # fmt: skip
"""All corruptions of predictions."""
