"""Faults of known size, planted into the events of the simulated shop, each with its answer."""

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
"""Columns of the answers: one row for each plant, with its event, customer, day and size."""


@dataclass
class EventBlock:
    """A block of events into which faults are planted.

    Args:
        config: the shop.
        events: columns of `shop.events`.
        number: number of the block.
        rng: generator of this block and plant.
        for_postgres: leave out rows that Postgres cannot hold.
    """

    config: Config
    events: pa.Table
    number: int
    rng: np.random.Generator
    for_postgres: bool = False

    def sample(self, share: float) -> np.ndarray:
        """Return the indices of a random share of the events."""
        return np.flatnonzero(self.rng.random(self.events.num_rows) < share)

    def since(self, day: date) -> pa.ChunkedArray:
        """Return which events are of that shop day or later."""
        start = pa.scalar(datetime.combine(day, time()), pa.timestamp("us")).cast(_INSTANT)
        return pc.greater_equal(self.events["occurred_at"], start)

    def change(self, column: str, mask: np.ndarray | pa.ChunkedArray, to: pa.Array) -> None:
        """Replace the values of a column where the mask is true."""
        position = self.events.schema.get_field_index(column)
        chosen = pa.chunked_array([mask]) if isinstance(mask, np.ndarray) else mask
        values = pc.if_else(chosen, to, self.events[column])
        self.events = self.events.set_column(position, column, values)

    def add(self, rows: pa.Table) -> None:
        """Append rows."""
        self.events = pa.concat_tables([self.events, rows])


_INSTANT = pa.timestamp("us", tz="UTC")
Answer = Iterable[dict[str, object]]


def _day(config: Config, share: float) -> date:
    return config.first_day + timedelta(days=int(config.days * share))


def _delay(amounts: np.ndarray, unit: str) -> pa.Array:
    return pa.array(amounts.astype(f"timedelta64[{unit}]").astype("timedelta64[us]"))


def _late(block: EventBlock, share: float) -> Answer:
    days = np.zeros(block.events.num_rows, int)
    chosen = block.sample(share)
    days[chosen] = block.rng.integers(1, 6, len(chosen))
    arrives = pc.add(block.events["ingested_at"], _delay(days, "D"))
    block.change("ingested_at", days > 0, arrives)
    ids = block.events["event_id"].take(chosen).to_pylist()
    return [{"event_id": i, "value": d} for i, d in zip(ids, days[chosen], strict=True)]


def _duplicates(block: EventBlock, share: float) -> Answer:
    copies = block.events.take(block.sample(share))
    later = pc.add(copies["ingested_at"], _delay(block.rng.integers(1, 600, len(copies)), "s"))
    position = copies.schema.get_field_index("ingested_at")
    block.add(copies.set_column(position, "ingested_at", later))
    return [{"event_id": i} for i in copies["event_id"].to_pylist()]


def _bots(block: EventBlock, share: float) -> Answer:
    number = block.rng.binomial(len(block.events["customer_id"].unique()), share)
    bots = [f"bot{block.number:06d}-{n:04d}" for n in range(number)]
    for bot in bots:
        block.add(_robot_views(block, bot, 2000))
    return [{"customer_id": bot, "value": 2000} for bot in bots]


def _heavy(block: EventBlock, events: float) -> Answer:
    if block.number:
        return []
    block.add(_robot_views(block, "heavy", int(events)))
    return [{"customer_id": "heavy", "value": events}]


def _robot_views(block: EventBlock, customer: str, events: int) -> pa.Table:
    """Return views of one session, one a second, over as many days as needed."""
    views = block.events.filter(pc.equal(block.events["event_type"], "view"))
    rows = views.take(block.rng.integers(views.num_rows, size=events))
    start = np.datetime64(block.config.first_day, "us")
    occurred = start + np.arange(events) % (block.config.days * 86400) * np.timedelta64(1, "s")
    changed = {
        "event_id": pa.array([f"{customer}-{n:06d}" for n in range(events)]),
        "customer_id": pa.array([customer] * events),
        "session_id": pa.array([f"{customer}-s"] * events),
        "occurred_at": pa.array(occurred).cast(_INSTANT),
        "ingested_at": pa.array(occurred + np.timedelta64(20, "s")).cast(_INSTANT),
    }
    return pa.table({name: changed.get(name, rows[name]) for name in rows.column_names})


def _refunds(block: EventBlock, share: float) -> Answer:
    events = block.events
    refunded = events.filter(pc.equal(events["event_type"], "refund"))
    bought = events.filter(pc.equal(events["event_type"], "purchase"))
    bought = bought.filter(pc.invert(pc.is_in(bought["customer_id"], refunded["customer_id"])))
    chosen = bought.take(np.flatnonzero(block.rng.random(len(bought)) < share))
    wait = _delay(block.rng.integers(86400, 14 * 86400, len(chosen)), "s")
    changed = {
        "event_id": pc.binary_join_element_wise(chosen["event_id"], "r", "-"),
        "event_type": pa.array(["refund"] * len(chosen)),
        "occurred_at": pc.add(chosen["occurred_at"], wait),
        "ingested_at": pc.add(chosen["ingested_at"], wait),
    }
    refunds = pa.table({name: changed.get(name, chosen[name]) for name in chosen.column_names})
    end = np.datetime64(block.config.last_day + timedelta(days=1), "us")
    block.add(refunds.filter(pc.less(refunds["occurred_at"], pa.scalar(end).cast(_INSTANT))))
    added = block.events.slice(len(events))["event_id"].to_pylist()
    return [{"event_id": event_id} for event_id in added]


def _units(block: EventBlock, factor: float) -> Answer:
    day = _day(block.config, 2 / 3)
    block.change("price", block.since(day), pc.multiply(block.events["price"], factor))
    return [{"day": day, "value": factor}] if not block.number else []


def _time_zone(block: EventBlock, hours: float) -> Answer:
    day = _day(block.config, 2 / 3)
    shift = pa.scalar(timedelta(hours=hours), pa.duration("us"))
    moved = pc.add(block.events["occurred_at"], shift)
    block.change("occurred_at", block.since(day), moved)
    return [{"day": day, "value": hours}] if not block.number else []


def _half_day(block: EventBlock, share: float) -> Answer:
    day = _day(block.config, 3 / 4)
    of_day = pc.and_(block.since(day), pc.invert(block.since(day + timedelta(days=1)))).to_numpy()
    lost = of_day & (block.rng.random(len(of_day)) < share)
    ids = block.events["event_id"].filter(pa.array(lost)).to_pylist()
    block.events = block.events.filter(pa.array(~lost))
    return [{"event_id": i, "day": day} for i in ids]


def _poison(block: EventBlock, _: float) -> Answer:
    if block.number or not block.events.num_rows:
        return []
    kinds, rows = poison.rows(block.events, block.for_postgres)
    block.add(rows)
    ids = rows["event_id"].to_pylist()
    return [{"kind": k, "event_id": i} for k, i in zip(kinds, ids, strict=True)]


@dataclass(frozen=True)
class Plant:
    """A fault that can be planted.

    Args:
        apply: changes one block and returns the answers.
        amount: default amount.
        least: minimum amount.
        most: maximum amount.
        meaning: meaning of the amount, as a phrase.
    """

    apply: Callable[[EventBlock, float], Answer]
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
"""Faults by name; `changes.CHANGES` holds the changes of the shop itself."""
