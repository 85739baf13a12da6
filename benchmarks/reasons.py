"""What the score does when the event is left out that is named as the strongest reason.

Of each customer with more than three events one is left out, everything is encoded and scored
again, and the change of the log-odds of a purchase within seven days is compared: for the event
that is named, for the one that the encoder alone names (hand-made features held), and for a random
one. The network is trained as the step `train` does.

Command: `python -m benchmarks.reasons` (a simulated shop of 3,000 customers)
or `python -m benchmarks.reasons PATH FORMAT` (minutes).
"""

import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.special import logit

from benchmarks import shops
from intent_tasks.core import ablation
from intent_tasks.core.anchors import split_days
from intent_tasks.core.dataset import SPLITS, Dataset
from intent_tasks.core.encoding import Encoded, encode
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.vocabulary import vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from intent_tasks.models import fit_models, hazards, network, reasons, training
from intent_tasks.models.sizes import size_of
from intent_tasks.simulator import Config
from intent_tasks.steps.score import LEAST_EFFECT

CUSTOMERS, SEED, FIRST_ANCHOR_DAY, LEAST_EVENTS = 3000, 7, 30, 3
DEFINITION = Definition()
MAIN = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)


def asked_for() -> pa.Table:
    """Return the events of the shop that the command line names."""
    if len(sys.argv) > 1:
        return shops.recorded(Path(sys.argv[1]), sys.argv[2])
    return shops.simulated(Config(customers=CUSTOMERS, seed=11))


def sliced(events: pa.Table) -> Dataset:
    """Return the slices of a shop, split as the step `window` does."""
    first, last = (pc.min_max(events["occurred_at"])[end].as_py().date() for end in ("min", "max"))
    split = split_days(
        first + timedelta(days=FIRST_ANCHOR_DAY), last - timedelta(days=max(HORIZONS_DAYS))
    )
    found = Dataset(lambda _: events, 1, vars(split), DEFINITION, SEED)
    found.learn_vocabulary()
    return found


def trained(found: Dataset) -> network.Network:
    """Return the network of the slices, trained as the step does."""
    sources = {part: found.source(part) for part in SPLITS}
    survey, samples = fit_models.summarize(sources)
    known = fit_models.fit_baselines(samples, SEED)
    sizes = vocabulary_sizes(found.vocabulary)
    architecture = network.Architecture("gru", size_of("nano", "gru"), sizes)
    plan = training.Plan(survey.rows["train"], SEED)
    return fit_models.fit_network(architecture, known, sources, plan).network


def log_odds(built: network.Network, encoded: Encoded) -> np.ndarray:
    """Return the log-odds of a purchase within the main horizon, shape (n,)."""
    return logit(hazards.probabilities(training.predict_logits(built, encoded))[:, MAIN])


def main() -> None:
    """Print the table."""
    events = asked_for()
    found = sliced(events)
    built, day = trained(found), found.split["test"][-1]
    everything = event_arrays(events, found.vocabulary, DEFINITION.time_zone)
    encoded = encode(everything, DEFINITION, day)
    named = reasons.explain(built, encoded)
    with mock.patch.object(ablation, "event_effects", return_value=0):
        encoder = reasons.explain(built, encoded)
    drawn = np.random.default_rng(SEED).integers(encoded.event_count)
    random = everything.row[encoded.place[encoded.event_end[:-1] + drawn]]
    several = encoded.event_count > LEAST_EVENTS
    move = _moves(built, encoded, found, several)
    print(f"{several.sum()} of {len(several)} customers, as of {day}\n")
    print("| left out | mean move | correlation with the effect |\n|---|---|---|")
    for name, rows, effects in (
        ("random", random, None),
        ("named by the encoder alone", encoder.rows[:, 0], encoder.effects[:, 0]),
        ("named", named.rows[:, 0], named.effects[:, 0]),
    ):
        moved, there = move(rows)
        told = "" if effects is None else f"{np.corrcoef(moved, effects[there])[0, 1]:.3f}"
        print(f"| {name} | {np.abs(moved).mean():.3f} | {told} |")
    share = (np.abs(named.effects[:, 0]) >= LEAST_EFFECT).mean()
    alone = (np.abs(encoder.effects[:, 0]) >= LEAST_EFFECT).mean()
    print(f"\nWith a reason: {share:.1%} of all customers; by the encoder alone: {alone:.1%}")


def _moves(
    built: network.Network, encoded: Encoded, found: Dataset, several: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return what tells how far scores move without some rows, and of whom."""
    before = log_odds(built, encoded)

    def move(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        left = encode(encoded.events.drop_rows(rows), DEFINITION, found.split["test"][-1])
        there = np.isin(encoded.customers, left.customers) & several
        kept = np.isin(left.customers, encoded.customers[there])
        return before[there] - log_odds(built, left)[kept], there

    return move


if __name__ == "__main__":
    main()
