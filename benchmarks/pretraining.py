"""What pretraining gains for the purchase: the same network from the same seed, with and without.

A simulated shop of 1,000 customers, on which labels are few; time split as of a version. Both are
trained by `training.fit` on the same rows with the same seeds, calibrated on the same later days,
and read with the vocabulary of pretraining; pretraining sees no day on which they are judged.
Neither begins with the logistic regression or learns from the trees, as the step `train` lets them.
Gain: log loss of 7 days without pretraining minus with it, on the test days; above 0 it helps.
Interval: 95 %, paired, bootstrap over customers. Claim: none, it is measured.
Command: `python -m benchmarks.pretraining` (some minutes).
"""

import sys
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.next_product import interval
from benchmarks.shops import simulated
from intent_tasks.core.anchors import split_days
from intent_tasks.core.slices import Slices
from intent_tasks.core.vocabulary import vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from intent_tasks.models import hazards, network, pretraining, training
from intent_tasks.models.parts import Ranks
from intent_tasks.models.sizes import SIZES
from intent_tasks.simulator import Config

SHOP = Config(customers=1_000, products=1_000, seed=12)
ENCODER, SIZE, SEED = "gru", SIZES["nano"], 7
GAP = timedelta(days=max(HORIZONS_DAYS))
ANCHORS_DAYS = 60


def main() -> int:
    events, definition = simulated(SHOP), Definition()
    last = SHOP.last_day - GAP
    split = split_days(last - timedelta(days=ANCHORS_DAYS), last)
    until = split.train[-1] + GAP
    end = pa.scalar(definition.day_end(until), events["occurred_at"].type)
    known = events.filter(pc.less(events["occurred_at"], end))
    plan = pretraining.Plan(ENCODER, SIZE, definition, SHOP.first_day, until, SEED)
    learned = pretraining.learn([known], plan, _say)
    slices = Slices(lambda _: events, 1, vars(split), definition, SEED, learned.vocabulary)
    survey = slices.survey()
    (train,) = slices.source("train")(0, 0)
    ranks = Ranks.of(train.encoded.statics)
    loss, customers = {}, None
    for name in ("from nothing", "pretrained"):
        network.deterministic(SEED)
        sizes = vocabulary_sizes(learned.vocabulary)
        architecture = network.Architecture(ENCODER, SIZE, sizes)
        built = network.build(architecture)
        built.decide.get_layer("ranks").set_weights(ranks)
        if name == "pretrained":
            _give(built, learned)
        plan_ = training.Plan(survey.rows["train"], SEED)
        training.fit(built, slices.source("train"), slices.source("calibrate"), plan_, None, _say)
        loss[name], customers = _judged(built, slices)
    print(f"{survey.rows['train']:,} rows to train, {len(customers):,} to judge\n")
    print("| | log loss, 7 days |")
    print("|---|---|")
    for name, values in loss.items():
        print(f"| {name} | {interval(values, customers)} |")
    print(f"| gain | {interval(loss['from nothing'] - loss['pretrained'], customers)} |")
    return 0


def _give(built: network.Network, learned: pretraining.Learned) -> None:
    built.embed.set_weights(learned.learner.network.embed.get_weights())
    built.read.set_weights(learned.learner.network.read.get_weights())


def _judged(built: network.Network, slices: Slices) -> tuple[np.ndarray, np.ndarray]:
    """Return the log loss of each test row, and its customer."""
    later = next(slices.source("calibrate")(0, 0))
    logits = training.logits_of(built, later.encoded)
    training.calibrate(built, logits, later.first, len(np.unique(later.encoded.customers)))
    rows = next(slices.source("test")(0, 0))
    chance = hazards.probabilities(training.logits_of(built, rows.encoded))
    chance = chance[:, HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)]
    bought = rows.purchased_within(MAIN_HORIZON_DAYS)
    return -np.log(np.where(bought, chance, 1 - chance)), rows.encoded.customers


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
