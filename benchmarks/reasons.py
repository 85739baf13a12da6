"""Measure the change of the score without the event that is named as the strongest reason.

One event of each customer with more than three is left out, and everything is encoded and scored
again. The change of the log-odds of a purchase within seven days is compared for three events: the
named one, the one that the encoder alone would name (with the hand-made features held), and a
random one. The network is trained as the step `train` does.

Command: `python -m benchmarks.reasons` (a simulated shop of 3,000 customers)
or `python -m benchmarks.reasons PATH FORMAT` (minutes).
"""

from collections.abc import Callable
from datetime import date
from unittest import mock

import numpy as np
from scipy.special import logit

from benchmarks.support.trained_network import DEFINITION, SEED, parse_shop, read_dataset, train
from intent_tasks.core import ablation
from intent_tasks.core.encoding import Encoded, encode
from intent_tasks.core.event_arrays import event_arrays
from intent_tasks.core.reasons import LEAST_EFFECT
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS
from intent_tasks.models import attribution, hazards, network, training

LEAST_EVENTS = 3
MAIN = HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)


def log_odds(model: network.Network, encoded: Encoded) -> np.ndarray:
    """Return the log-odds of a purchase within the main horizon, shape (n,)."""
    return logit(hazards.probabilities(training.predict_logits(model, encoded))[:, MAIN])


def main() -> None:
    """Print the table."""
    events, dataset = read_dataset(parse_shop(__doc__))
    model, day = train(dataset), dataset.split["test"][-1]
    arrays = event_arrays(events, dataset.vocabulary, DEFINITION.time_zone)
    encoded = encode(arrays, DEFINITION, day)
    named = attribution.explain(model, encoded)
    with mock.patch.object(ablation, "event_effects", return_value=0):
        encoder = attribution.explain(model, encoded)
    drawn = np.random.default_rng(SEED).integers(encoded.event_count)
    random = arrays.row[encoded.place[encoded.event_end[:-1] + drawn]]
    several = encoded.event_count > LEAST_EVENTS
    score_change = _score_change_without(model, encoded, day, several)
    print(f"{several.sum()} of {len(several)} customers, as of {day}\n")
    print("| left out | mean change | correlation with the effect |\n|---|---|---|")
    for name, rows, effects in (
        ("random", random, None),
        ("named by the encoder alone", encoder.rows[:, 0], encoder.effects[:, 0]),
        ("named", named.rows[:, 0], named.effects[:, 0]),
    ):
        change, compared = score_change(rows)
        correlation = (
            "" if effects is None else f"{np.corrcoef(change, effects[compared])[0, 1]:.3f}"
        )
        print(f"| {name} | {np.abs(change).mean():.3f} | {correlation} |")
    share = (np.abs(named.effects[:, 0]) >= LEAST_EFFECT).mean()
    encoder_share = (np.abs(encoder.effects[:, 0]) >= LEAST_EFFECT).mean()
    print(f"\nWith a reason: {share:.1%} of all customers; encoder alone: {encoder_share:.1%}")


def _score_change_without(
    model: network.Network, encoded: Encoded, day: date, several: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Return a function that leaves out rows.

    It returns the changes of the log-odds, and the mask of the customers they belong to.
    """
    before = log_odds(model, encoded)

    def score_change(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        remaining = encode(encoded.events.drop_rows(rows), DEFINITION, day)
        compared = np.isin(encoded.customers, remaining.customers) & several
        same = np.isin(remaining.customers, encoded.customers[compared])
        return before[compared] - log_odds(model, remaining)[same], compared

    return score_change


if __name__ == "__main__":
    main()
