"""Faults and changes of known size, planted into the simulated shop, each with its answer."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.simulator import poison
from intent_tasks.simulator.config import Config

ANSWERS = pa.schema(
    {
        "plant": pa.string(),
        "kind": pa.string(),
        "event_id": pa.string(),
        "customer_id": pa.string(),
        "day": pa.date32(),
        "value": pa.float64(),
    }
)
"""One row for each thing planted: which, on what, from which day, and how much."""


@dataclass
class Garden:
    """One block of events while faults are planted into it.

    Args:
        config: the shop.
        events: columns of `shop.events`.
        block: number of the block.
        rng: of this block and plant alone.
        for_postgres: leave out what Postgres cannot hold.
    """

    config: Config
    events: pa.Table
    block: int
    rng: np.random.Generator
    for_postgres: bool = False

    def some(self, share: float) -> np.ndarray:
        """Return the places of a random share of the events."""
        return np.flatnonzero(self.rng.random(self.events.num_rows) < share)

    def since(self, day: date) -> pa.ChunkedArray:
        """Return which events are of that shop day or later."""
        start = pa.scalar(datetime.combine(day, time()), pa.timestamp("us")).cast(_INSTANT)
        return pc.greater_equal(self.events["occurred_at"], start)

    def change(self, column: str, where: np.ndarray | pa.ChunkedArray, to: pa.Array) -> None:
        """Replace values of a column where told."""
        place = self.events.schema.get_field_index(column)
        mask = pa.chunked_array([where]) if isinstance(where, np.ndarray) else where
        values = pc.if_else(mask, to, self.events[column])
        self.events = self.events.set_column(place, column, values)

    def add(self, rows: pa.Table) -> None:
        """Append rows."""
        self.events = pa.concat_tables([self.events, rows])


_INSTANT = pa.timestamp("us", tz="UTC")
Answer = Iterable[dict[str, object]]


def _day(config: Config, share: float) -> date:
    return config.first_day + timedelta(days=int(config.days * share))


def _delay(amounts: np.ndarray, unit: str) -> pa.Array:
    return pa.array(amounts.astype(f"timedelta64[{unit}]").astype("timedelta64[us]"))


def _late(garden: Garden, share: float) -> Answer:
    days = np.zeros(garden.events.num_rows, int)
    chosen = garden.some(share)
    days[chosen] = garden.rng.integers(1, 6, len(chosen))
    arrives = pc.add(garden.events["ingested_at"], _delay(days, "D"))
    garden.change("ingested_at", days > 0, arrives)
    ids = garden.events["event_id"].take(chosen).to_pylist()
    return [{"event_id": i, "value": d} for i, d in zip(ids, days[chosen], strict=True)]


def _duplicates(garden: Garden, share: float) -> Answer:
    again = garden.events.take(garden.some(share))
    later = pc.add(again["ingested_at"], _delay(garden.rng.integers(1, 600, len(again)), "s"))
    garden.add(again.set_column(again.schema.get_field_index("ingested_at"), "ingested_at", later))
    return [{"event_id": i} for i in again["event_id"].to_pylist()]


def _bots(garden: Garden, share: float) -> Answer:
    number = garden.rng.binomial(len(garden.events["customer_id"].unique()), share)
    bots = [f"bot{garden.block:06d}-{n:04d}" for n in range(number)]
    for bot in bots:
        garden.add(_hammering(garden, bot, 2000))
    return [{"customer_id": bot, "value": 2000} for bot in bots]


def _heavy(garden: Garden, events: float) -> Answer:
    if garden.block:
        return []
    garden.add(_hammering(garden, "heavy", int(events)))
    return [{"customer_id": "heavy", "value": events}]


def _hammering(garden: Garden, customer: str, events: int) -> pa.Table:
    """Return views of one visit at one a second, so many days as it takes."""
    views = garden.events.filter(pc.equal(garden.events["event_type"], "view"))
    rows = views.take(garden.rng.integers(views.num_rows, size=events))
    start = np.datetime64(garden.config.first_day, "us")
    occurred = start + np.arange(events) % (garden.config.days * 86400) * np.timedelta64(1, "s")
    made = {
        "event_id": pa.array([f"{customer}-{n:06d}" for n in range(events)]),
        "customer_id": pa.array([customer] * events),
        "session_id": pa.array([f"{customer}-s"] * events),
        "occurred_at": pa.array(occurred).cast(_INSTANT),
        "ingested_at": pa.array(occurred + np.timedelta64(20, "s")).cast(_INSTANT),
    }
    return pa.table({name: made.get(name, rows[name]) for name in rows.column_names})


def _refunds(garden: Garden, share: float) -> Answer:
    events = garden.events
    known = events.filter(pc.equal(events["event_type"], "refund"))
    bought = events.filter(pc.equal(events["event_type"], "purchase"))
    bought = bought.filter(pc.invert(pc.is_in(bought["customer_id"], known["customer_id"])))
    back = bought.take(np.flatnonzero(garden.rng.random(len(bought)) < share))
    wait = _delay(garden.rng.integers(86400, 14 * 86400, len(back)), "s")
    made = {
        "event_id": pc.binary_join_element_wise(back["event_id"], "r", "-"),
        "event_type": pa.array(["refund"] * len(back)),
        "occurred_at": pc.add(back["occurred_at"], wait),
        "ingested_at": pc.add(back["ingested_at"], wait),
    }
    back = pa.table({name: made.get(name, back[name]) for name in back.column_names})
    end = np.datetime64(garden.config.last_day + timedelta(days=1), "us")
    garden.add(back.filter(pc.less(back["occurred_at"], pa.scalar(end).cast(_INSTANT))))
    added = garden.events.slice(len(events))["event_id"].to_pylist()
    return [{"event_id": event_id} for event_id in added]


def _units(garden: Garden, factor: float) -> Answer:
    day = _day(garden.config, 2 / 3)
    garden.change("price", garden.since(day), pc.multiply(garden.events["price"], factor))
    return [{"day": day, "value": factor}] if not garden.block else []


def _time_zone(garden: Garden, hours: float) -> Answer:
    day = _day(garden.config, 2 / 3)
    shift = pa.scalar(timedelta(hours=hours), pa.duration("us"))
    moved = pc.add(garden.events["occurred_at"], shift)
    garden.change("occurred_at", garden.since(day), moved)
    return [{"day": day, "value": hours}] if not garden.block else []


def _half_day(garden: Garden, share: float) -> Answer:
    day = _day(garden.config, 3 / 4)
    of_day = pc.and_(garden.since(day), pc.invert(garden.since(day + timedelta(days=1)))).to_numpy()
    lost = of_day & (garden.rng.random(len(of_day)) < share)
    ids = garden.events["event_id"].filter(pa.array(lost)).to_pylist()
    garden.events = garden.events.filter(pa.array(~lost))
    return [{"event_id": i, "day": day} for i in ids]


def _poison(garden: Garden, _: float) -> Answer:
    if garden.block or not garden.events.num_rows:
        return []
    kinds, rows = poison.rows(garden.events, garden.for_postgres)
    garden.add(rows)
    ids = rows["event_id"].to_pylist()
    return [{"kind": k, "event_id": i} for k, i in zip(kinds, ids, strict=True)]


@dataclass(frozen=True)
class Plant:
    """Something that can be planted.

    Args:
        sow: changes one block and returns the answer.
        amount: when none is told.
        least: smallest amount.
        most: greatest amount.
        meaning: of the amount, as a phrase.
    """

    sow: Callable[[Garden, float], Answer]
    amount: float
    least: float
    most: float
    meaning: str


PLANTS = {
    "late": Plant(_late, 0.05, 0, 1, "share of events that arrive 1 to 5 days late"),
    "duplicates": Plant(_duplicates, 0.01, 0, 1, "share of events delivered twice"),
    "refunds": Plant(_refunds, 0.1, 0, 1, "share of purchases refunded within 14 days"),
    "bots": Plant(_bots, 0.01, 0, 1, "bots of 2,000 views, as share of customers"),
    "heavy": Plant(_heavy, 100_000, 1, 1e6, "events of one customer"),
    "units": Plant(_units, 100, 1e-6, 1e6, "factor on prices, last third of the days"),
    "time_zone": Plant(_time_zone, 2, -14, 14, "hours added to times, last third of the days"),
    "half_day": Plant(_half_day, 0.5, 0, 1, "share of events lost on the day at three quarters"),
    "poison": Plant(_poison, 1, 1, 1, "rows of each kind that cannot be used"),
}
"""What can be planted into finished events; `changes` holds those of the shop itself."""
