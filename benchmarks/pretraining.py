"""What pretraining gains for the purchase: the same version from the same seed, with and without.

A simulated shop of few customers, on which labels are few; time split as of a version. Both are
fitted by `models/fit_models.py`, as the step `train` does, on the same rows, ensemble and trees,
and read with the vocabulary of pretraining; pretraining sees no day on which they are judged.
*Alone*: the network learns without an ensemble, so that nothing is known before events are read.
Gain: log loss of 7 days without pretraining minus with it, on the test days; above 0 it helps.
Interval: 95 %, paired, bootstrap over customers. Claim: none, it is measured.
Command: `python -m benchmarks.pretraining [--customers 1000]` (some minutes).
"""

import argparse
import sys
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks.next_product import interval
from benchmarks.shops import simulated
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

SHOP = Config(customers=1_000, products=1_000, seed=12)
ENCODER, SIZE, SEED = "gru", SIZES["nano"], 7
GAP = timedelta(days=max(HORIZONS_DAYS))
ANCHORS_DAYS = 60


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, default=SHOP.customers)
    shop = replace(SHOP, customers=parser.parse_args().customers)
    events, definition = simulated(shop), Definition()
    last = shop.last_day - GAP
    split = split_days(last - timedelta(days=ANCHORS_DAYS), last)
    until = split.train[-1] + GAP
    end = pa.scalar(definition.day_end(until), events["occurred_at"].type)
    known = events.filter(pc.less(events["occurred_at"], end))
    plan = train.Plan(ENCODER, SIZE, definition, shop.first_day, until, SEED)
    learned = train.learn([known], plan, _say)
    slices = Dataset(lambda _: events, 1, vars(split), definition, SEED, learned.vocabulary)
    sources = {part: slices.source(part) for part in SPLITS}
    survey, samples = fit_models.summarize(sources)
    whole = fit_models.fit_baselines(samples, SEED)
    nothing = EnsembleWeights(
        whole.ensemble.ranks, [np.zeros_like(w) for w in whole.ensemble.members]
    )
    (test,) = sources["test"](0, 0)
    bought = test.purchased_within(MAIN_HORIZON_DAYS)
    customers = test.encoded.customers
    print(f"{survey.rows['train']:,} rows to train, {len(bought):,} to judge\n")
    print("| | from nothing | pretrained | gain |\n|---|---|---|---|")
    for title, begun in (("version, network", whole), ("alone", replace(whole, ensemble=nothing))):
        said = []
        for give in (lambda _: None, lambda built: _give(built, learned)):
            architecture = network.Architecture(ENCODER, SIZE, vocabulary_sizes(slices.vocabulary))
            plan_ = training.Plan(survey.rows["train"], SEED)
            fitted = fit_models.fit_network(
                architecture, begun, sources, plan_, log=_say, initialize=give
            )
            logits = training.predict_logits(fitted.network, test.encoded)
            said.append(log_losses(hazards.probabilities(logits)[:, MAIN_INDEX], bought))
        cells = [interval(each, customers) for each in (*said, said[0] - said[1])]
        print(f"| {title} | {' | '.join(cells)} |", flush=True)
    return 0


def _give(built: network.Network, learned: train.Learned) -> None:
    built.embed.set_weights(learned.learner.network.embed.get_weights())
    built.read.set_weights(learned.learner.network.read.get_weights())


def _say(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
