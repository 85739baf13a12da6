"""One worker of a training on loopback; prints the losses of each validation as JSON."""

import json

import numpy as np
import tensorflow as tf

from intent_tasks.core.dataset import SPLITS
from intent_tasks.models import distribution, fit_models, network, training
from intent_tasks.models.sizes import Size
from tests.training import shop

BATCH = 64


def main(strategy: tf.distribute.Strategy) -> None:
    # Dropout draws other numbers on each worker; without it the losses are equal.
    network.DROPOUT = 0.0
    training.EPOCHS, training.MIN_STEPS = 2, 1
    distribution.strategy = lambda: strategy
    rows, vocabulary = shop.rows_and_vocabulary(400)
    sources = dict.fromkeys(SPLITS, shop.source(rows))
    _, samples = fit_models.summarize(sources)
    baselines = fit_models.fit_baselines(samples, shop.SEED)
    architecture = shop.architecture_of(vocabulary, size=Size(8, 4, 8, 1))
    plan = training.Plan(len(rows.first_purchase), shop.SEED, batch=BATCH)
    fitted = fit_models.fit_network(architecture, baselines, sources, plan)
    losses = [[each["loss"], each["validation_loss"]] for each in fitted.curve]
    mean_logit = float(np.mean(fitted.validation.logits))
    result = {"replicas": strategy.num_replicas_in_sync, "losses": losses}
    result["mean_logit"] = mean_logit
    print(json.dumps(result))


if __name__ == "__main__":
    network.deterministic(shop.SEED)
    main(distribution.strategy())  # before anything else is done with TensorFlow
