"""How well the stage of a customer is told: browsing, comparing, ready or leaving.

Beside it: the frequencies of the training slice, and a multinomial logistic regression on the
hand-made features alone. Mean log loss on the days to test on, with the 95 % interval of the gain
over the frequencies and of the network's over the regression, by bootstrap over customers.

Command: `python -m benchmarks.stages` (a simulated shop of 3,000 customers)
or `python -m benchmarks.stages PATH FORMAT` (minutes).
"""

import numpy as np

from benchmarks.reasons import SEED, asked_for, sliced, trained
from intent_tasks.core.dataset import Rows
from intent_tasks.core.metrics import resample_weights
from intent_tasks.definition import STAGES
from intent_tasks.models import stage_model


def losses(said: np.ndarray, rows: Rows) -> np.ndarray:
    """Return the log loss of each row, shape (n,)."""
    return -np.log(np.maximum(said[np.arange(len(said)), rows.stage], 1e-9))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return probabilities, shape (n, stages)."""
    said = np.exp(logits - logits.max(axis=1, keepdims=True))
    return said / said.sum(axis=1, keepdims=True)


def main() -> None:
    """Print the table."""
    found = sliced(asked_for())
    built = trained(found)
    (train,), (test,) = (tuple(found.source(part)(0, 0)) for part in ("train", "test"))
    frequency = np.bincount(train.stage, minlength=len(STAGES)) / len(train.stage)
    slopes, shifts = stage_model.multinomial_regression(train.encoded.features, train.stage)
    said = {
        "frequencies": np.tile(frequency, (len(test.first_purchase), 1)),
        "logistic regression": softmax(test.encoded.features @ slopes + shifts),
        "network": stage_model.probabilities(built, test.encoded),
    }
    each = {name: losses(one, test) for name, one in said.items()}
    _, customers = np.unique(test.encoded.customers, return_inverse=True)
    weights = resample_weights(int(customers.max()) + 1, SEED)[:, customers]

    def gain(better: str, worse: str) -> str:
        difference = each[worse] - each[better]
        drawn = weights @ difference / weights.sum(axis=1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        return f"{difference.mean():.4f} [{low:.4f}, {high:.4f}]"

    print(f"{len(test.first_purchase)} rows to test on: ", end="")
    true = np.bincount(test.stage, minlength=len(STAGES)) / len(test.stage)
    print(", ".join(f"{name} {share:.1%}" for name, share in zip(STAGES, true, strict=True)))
    print("\n| | log loss | right | gain over the frequencies |\n|---|---|---|---|")
    for name, one in said.items():
        right = (one.argmax(axis=1) == test.stage).mean()
        print(f"| {name} | {each[name].mean():.4f} | {right:.1%} | {gain(name, 'frequencies')} |")
    print(f"\nNetwork over logistic regression: {gain('network', 'logistic regression')}")


if __name__ == "__main__":
    main()
