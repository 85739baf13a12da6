"""The simulated shop with planted faults and changes, and the answers that name them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa

from intent_tasks.errors import BadInput
from intent_tasks.simulator.bayes_optimal import no_purchase
from intent_tasks.simulator.catalogue import given_coupon
from intent_tasks.simulator.changes import CHANGES, Change, answers, changed
from intent_tasks.simulator.config import BLOCK, Config
from intent_tasks.simulator.plants import ANSWERS, PLANTS, EventBlock, Plant
from intent_tasks.simulator.shop import block_of_days, simulate


class PlantedShop:
    """A simulated shop with plants.

    Args:
        config: the shop before anything is planted.
        plants: amount of each plant.
        for_postgres: leave out rows that Postgres cannot hold.
    """

    def __init__(
        self, config: Config, plants: Mapping[str, float], for_postgres: bool = False
    ) -> None:
        """Plant the changes of the shop; faults are planted while events are generated."""
        self.config = changed(config, plants)
        self._has_coupon = "coupon" in plants
        self._faults = {name: plants[name] for name in PLANTS if name in plants}
        self._for_postgres = for_postgres
        self._answers = answers(self.config, plants)

    def events(self, blocks: int = 1) -> Iterator[pa.Table]:
        """Yield the events as `simulate` does, with the faults."""
        return simulate(self.config, blocks, self._plant_faults)

    def answers(self) -> pa.Table:
        """Return what was planted into the events generated so far, columns `ANSWERS`."""
        return pa.Table.from_pylist(self._answers, ANSWERS)

    def _plant_faults(self, block: int, events: pa.Table) -> pa.Table:
        if self._has_coupon:
            self._answers += coupon_effects(self.config, block)
        for name, amount in self._faults.items():
            seed = [self.config.seed, 5, block, list(PLANTS).index(name)]
            faulty = EventBlock(
                self.config, events, block, np.random.default_rng(seed), self._for_postgres
            )
            self._answers += [{"plant": name} | row for row in PLANTS[name].apply(faulty, amount)]
            events = faulty.events
        return events


def coupon_effects(config: Config, block: int) -> list[dict[str, object]]:
    """Return the true effect of the coupon on each customer of a block who joined before it.

    The effect is the difference in the probability of a purchase while the coupon is valid, given
    the customer's type and intent on its first day.
    """
    first, end = (int(day) for day in config.coupon[-1][:2])
    without = replace(config, coupon=())
    effect = no_purchase(without, first, end - first) - no_purchase(config, first, end - first)
    days, _ = block_of_days(config, block)
    given = given_coupon(config, block)
    return [
        {
            "plant": "coupon",
            "kind": "given" if given[customer] else "not given",
            "customer_id": f"c{block * BLOCK + customer:08d}",
            "day": config.first_day + timedelta(days=first),
            "value": float(effect[days.types[customer], days.states[first, customer]]),
        }
        for customer in np.flatnonzero(days.joined <= first)
    ]


def parse(texts: Iterable[str]) -> dict[str, float]:
    """Return the amount of each plant, from texts such as `late` or `late=0.1`.

    Raises:
        BadInput: a plant is unknown, or its amount is out of range.
    """
    plants = {}
    for text in texts:
        name, _, amount = text.partition("=")
        plant = _plant(name)
        try:
            plants[name] = float(amount) if amount else plant.amount
        except ValueError:
            plants[name] = float("nan")
        if not plant.least <= plants[name] <= plant.most:
            raise BadInput(f"plant {text}: the amount must be {plant.least:g} to {plant.most:g}.")
    return plants


def describe() -> str:
    """Return all plants, one a line, with their default amount and its meaning."""
    plants: dict[str, Change | Plant] = {**CHANGES, **PLANTS}
    return "\n".join(f"{name}={plant.amount:g}: {plant.meaning}" for name, plant in plants.items())


def _plant(name: str) -> Change | Plant:
    plant = CHANGES.get(name) or PLANTS.get(name)
    if plant is None:
        raise BadInput(f"plant {name!r} is unknown; allowed:\n{describe()}")
    return plant
