"""Gain of pretraining for purchase predictions: the same version and seed, with and without it.

A simulated shop of few customers and so of few labels, split by time as of a version. Both are
fitted by `models/fit_models.py`, as the step `train` does, with the same rows, ensemble, trees and
vocabulary (that of pretraining). Pretraining reads no test day. *Alone*: the network is trained
without an ensemble, so that all it knows comes from events.
Gain: log loss for 7 days without pretraining minus with it, on the test days; above 0 it helps.
Interval: 95 %, paired, bootstrap over customers. Measured, not claimed.
Command: `python -m benchmarks.pretraining [--customers 1000]` (some minutes).
"""

import sys
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.support.arguments import arguments_of
from benchmarks.support.default_encoder import ENCODER
from benchmarks.support.intervals import mean_and_interval
from intent_tasks.core.anchors import split_days
from intent_tasks.core.dataset import SPLITS, Dataset
from intent_tasks.core.metrics import log_losses
from intent_tasks.core.vocabulary import vocabulary_sizes
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from intent_tasks.models import fit_models, hazards, network, training
from intent_tasks.models.ensemble import EnsembleWeights
from intent_tasks.models.hazards import MAIN_INDEX
from intent_tasks.models.pretraining import train
from intent_tasks.models.sizes import SIZES
from intent_tasks.simulator import Config
from tools.testbed.shops import simulated

SHOP = Config(customers=1_000, products=1_000, seed=12)
SIZE, SEED = SIZES["nano"], 7
GAP = timedelta(days=max(HORIZONS_DAYS))
ANCHORS_DAYS = 60


def main() -> int:
    """Print the table."""
    parser = arguments_of(__doc__)
    parser.add_argument("--customers", type=int, default=SHOP.customers)
    shop = replace(SHOP, customers=parser.parse_args().customers)
    events, definition = simulated(shop), Definition()
    last = shop.last_day - GAP
    split = split_days(last - timedelta(days=ANCHORS_DAYS), last)
    until = split.train[-1] + GAP
    end = pa.scalar(definition.day_end(until), events["occurred_at"].type)
    known = events.filter(pc.less(events["occurred_at"], end))
    plan = train.Plan(ENCODER, SIZE, definition, shop.first_day, until, SEED)
    learned = train.learn([known], plan, _print_progress)
    dataset = Dataset(lambda _: events, 1, vars(split), definition, SEED, learned.vocabulary)
    sources = {part: dataset.source(part) for part in SPLITS}
    summary, samples = fit_models.summarize(sources)
    baselines = fit_models.fit_baselines(samples, SEED)
    no_ensemble = EnsembleWeights(
        baselines.ensemble.ranks, [np.zeros_like(w) for w in baselines.ensemble.members]
    )
    (test,) = sources["test"](0, 0)
    purchased = test.purchased_within(MAIN_HORIZON_DAYS)
    customers = test.encoded.customers
    print(f"{summary.rows['train']:,} training rows, {len(purchased):,} test rows\n")
    print("| | without | pretrained | gain |\n|---|---|---|---|")
    for title, fitted_before in (
        ("version, network", baselines),
        ("alone", replace(baselines, ensemble=no_ensemble)),
    ):
        losses = []
        for initialize in (lambda _: None, lambda built: _copy_weights(built, learned)):
            architecture = network.Architecture(ENCODER, SIZE, vocabulary_sizes(dataset.vocabulary))
            plan_ = training.Plan(summary.rows["train"], SEED)
            fitted = fit_models.fit_network(
                architecture,
                fitted_before,
                sources,
                plan_,
                log=_print_progress,
                initialize=initialize,
            )
            logits = training.predict_logits(fitted.network, test.encoded)
            losses.append(log_losses(hazards.probabilities(logits)[:, MAIN_INDEX], purchased))
        cells = [mean_and_interval(each, customers) for each in (*losses, losses[0] - losses[1])]
        print(f"| {title} | {' | '.join(cells)} |", flush=True)
    return 0


def _copy_weights(built: network.Network, learned: train.Learned) -> None:
    built.embed.set_weights(learned.learner.network.embed.get_weights())
    built.read.set_weights(learned.learner.network.read.get_weights())


def _print_progress(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
