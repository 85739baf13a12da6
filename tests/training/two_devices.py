"""A training by MirroredStrategy on two logical processors; prints the losses as JSON."""

import sys

import tensorflow as tf

from intent_tasks.models import network
from tests.training import shop, two_workers


def main() -> None:
    network.deterministic(shop.SEED)
    (processor,) = tf.config.list_physical_devices("CPU")
    halves = [tf.config.LogicalDeviceConfiguration() for _ in range(2)]
    tf.config.set_logical_device_configuration(processor, halves)
    names = [device.name for device in tf.config.list_logical_devices("CPU")]
    two_workers.main(tf.distribute.MirroredStrategy(names))


if __name__ == "__main__":
    sys.exit(main())
