"""A network trained on a shop as the step `train` does, for benchmarks of its explanations."""

import argparse
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.support.arguments import arguments_of
from benchmarks.support.default_encoder import ENCODER
from intent_tasks.core.anchors import split_days
from intent_tasks.core.dataset import SPLITS, Dataset
from intent_tasks.core.vocabulary import vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, Definition
from intent_tasks.models import fit_models, network, training
from intent_tasks.models.sizes import size_of
from intent_tasks.simulator import Config
from tools.testbed import shops

CUSTOMERS, SEED, FIRST_ANCHOR_DAY = 3000, 7, 30
DEFINITION = Definition()


def parse_shop(docstring: str | None) -> argparse.Namespace:
    """Return the `path` and `format` of recorded events from the command line, or None for each."""
    parser = arguments_of(docstring)
    parser.add_argument("path", type=Path, nargs="?", help="recorded events; none: simulate a shop")
    parser.add_argument("format", nargs="?", help="name of the format of that file")
    given = parser.parse_args()
    if given.path is not None and given.format is None:
        parser.error("FORMAT is missing.")
    return given


def read_dataset(given: argparse.Namespace) -> tuple[pa.Table, Dataset]:
    """Return the events of the shop, and its dataset, split as the step `window` does."""
    if given.path is not None:
        events = shops.recorded(given.path, given.format)
    else:
        events = shops.simulated(Config(customers=CUSTOMERS, seed=11))
    first, last = (pc.min_max(events["occurred_at"])[end].as_py().date() for end in ("min", "max"))
    split = split_days(
        first + timedelta(days=FIRST_ANCHOR_DAY), last - timedelta(days=max(HORIZONS_DAYS))
    )
    dataset = Dataset(lambda _: events, 1, vars(split), DEFINITION, SEED)
    dataset.learn_vocabulary()
    return events, dataset


def train(dataset: Dataset) -> network.Network:
    """Return a network that is trained as the step `train` does."""
    sources = {part: dataset.source(part) for part in SPLITS}
    summary, samples = fit_models.summarize(sources)
    baselines = fit_models.fit_baselines(samples, SEED)
    sizes = vocabulary_sizes(dataset.vocabulary)
    architecture = network.Architecture(ENCODER, size_of("nano", ENCODER), sizes)
    plan = training.Plan(summary.rows["train"], SEED)
    return fit_models.fit_network(architecture, baselines, sources, plan).network
