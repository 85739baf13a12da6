"""Measure the prediction of stages: browsing, comparing, ready or leaving.

Compared with the frequencies of the training split, and with a multinomial logistic regression on
the hand-made features. Mean log loss on the test days, with the 95 % interval of the gain over the
frequencies, and of the network's gain over the regression, by bootstrap over customers.

Command: `python -m benchmarks.stages` (a simulated shop of 3,000 customers)
or `python -m benchmarks.stages PATH FORMAT` (minutes).
"""

import numpy as np

from benchmarks.support.trained_network import SEED, parse_shop, read_dataset, train
from intent_tasks.core.dataset import Rows
from intent_tasks.core.metrics import resample_weights
from intent_tasks.definition import STAGES
from intent_tasks.models import stage_model


def log_losses(probabilities: np.ndarray, rows: Rows) -> np.ndarray:
    """Return the log loss of each row, shape (n,)."""
    return -np.log(np.maximum(probabilities[np.arange(len(probabilities)), rows.stage], 1e-9))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities, shape (n, stages)."""
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)


def main() -> None:
    """Print the table."""
    _, dataset = read_dataset(parse_shop(__doc__))
    network = train(dataset)
    (train_rows,), (test,) = (tuple(dataset.source(part)(0, 0)) for part in ("train", "test"))
    frequencies = np.bincount(train_rows.stage, minlength=len(STAGES)) / len(train_rows.stage)
    slopes, intercepts = stage_model.multinomial_regression(
        train_rows.encoded.features, train_rows.stage
    )
    predictions = {
        "frequencies": np.tile(frequencies, (len(test.first_purchase), 1)),
        "logistic regression": softmax(test.encoded.features @ slopes + intercepts),
        "network": stage_model.probabilities(network, test.encoded),
    }
    losses = {name: log_losses(each, test) for name, each in predictions.items()}
    _, customers = np.unique(test.encoded.customers, return_inverse=True)
    weights = resample_weights(int(customers.max()) + 1, SEED)[:, customers]

    def gain(better: str, worse: str) -> str:
        difference = losses[worse] - losses[better]
        resampled = weights @ difference / weights.sum(axis=1)
        low, high = np.quantile(resampled, (0.025, 0.975))
        return f"{difference.mean():.4f} [{low:.4f}, {high:.4f}]"

    print(f"{len(test.first_purchase)} test rows: ", end="")
    shares = np.bincount(test.stage, minlength=len(STAGES)) / len(test.stage)
    print(", ".join(f"{name} {share:.1%}" for name, share in zip(STAGES, shares, strict=True)))
    print("\n| | log loss | right | gain over the frequencies |\n|---|---|---|---|")
    for name, each in predictions.items():
        right = (each.argmax(axis=1) == test.stage).mean()
        print(f"| {name} | {losses[name].mean():.4f} | {right:.1%} | {gain(name, 'frequencies')} |")
    print(f"\nNetwork over logistic regression: {gain('network', 'logistic regression')}")


if __name__ == "__main__":
    main()
