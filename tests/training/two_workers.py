"""One worker of a training on loopback; prints the loss of each look as JSON."""

import json

import tensorflow as tf

from intent_tasks.models import distribution, network, training
from intent_tasks.models.sizes import Size
from tests.training import shop

BATCH = 64


def main(strategy: tf.distribute.Strategy) -> None:
    # What is drawn at random differs between workers; all else must not.
    network.DROPOUT = 0.0
    training.EPOCHS, training.STEPS = 2, 1
    events = shop.simulated(400)
    vocabulary = shop.learn_vocabulary([events])
    rows = shop.rows_of(events, vocabulary)
    with strategy.scope():
        built = network.build(shop.architecture_of(vocabulary, size=Size(8, 4, 8, 1)))
        plan = training.Plan(len(rows.first), shop.SEED, batch=BATCH)
        curve = training.fit(built, shop.source(rows), shop.source(rows), plan)
    losses = [[look["loss"], look["later_loss"]] for look in curve]
    print(json.dumps({"replicas": strategy.num_replicas_in_sync, "losses": losses}))


if __name__ == "__main__":
    network.deterministic(shop.SEED)
    main(distribution.strategy())  # before anything else is done with TensorFlow
