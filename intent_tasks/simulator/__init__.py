"""A simulated shop of which the exact probabilities are known."""

from intent_tasks.simulator.catalogue import catalogue, customers
from intent_tasks.simulator.config import Config
from intent_tasks.simulator.files import write, write_answers
from intent_tasks.simulator.planted import PlantedShop
from intent_tasks.simulator.shop import digest, next_categories, simulate

__all__ = [
    "Config",
    "PlantedShop",
    "catalogue",
    "customers",
    "digest",
    "next_categories",
    "simulate",
    "write",
    "write_answers",
]
