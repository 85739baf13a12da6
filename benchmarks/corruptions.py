"""Measure the share of planted corruptions that the contract catches, and its false alarms.

Thresholds are fitted on 60 days of a simulated shop. False alarms are counted on the 60 days after
them. Each corruption of `tools/testbed/planted_corruptions.py` is planted, one at a time, into rows
of one of these days, and checked by the code of `intent step validate`. Corruptions of predictions
(`planted_predictions.py`) are planted into the exact probabilities of the shop, and checked as in
`publish`.
Claims: at least 95 % caught, no false alarm.
Command: `python -m benchmarks.corruptions [CUSTOMERS [SEED]]` (own PostgreSQL; 4 minutes for 4,000)
"""

import sys

import pyarrow as pa

from benchmarks.support.arguments import arguments_of
from benchmarks.support.contract_bench import Verdict, contract_bench, print_progress
from intent_tasks import simulator
from tools.testbed import planted_corruptions, planted_predictions

CAUGHT_AT_LEAST, FALSE_ALARMS_AT_MOST = 0.95, 0
CORRUPTIONS = (*planted_corruptions.CORRUPTIONS, *planted_predictions.CORRUPTIONS)


def main() -> None:
    """Print what was caught and what was missed; fail when a claim does not hold."""
    parser = arguments_of(__doc__)
    parser.add_argument("customers", type=int, nargs="?", default=4000)
    parser.add_argument("seed", type=int, nargs="?", default=7)
    given = parser.parse_args()
    with contract_bench(given.customers, given.seed) as bench:
        bench.fit()
        bench.publish_and_fit(pa.concat_tables(simulator.simulate(bench.config)))
        clean = []
        for day in bench.clean_days:
            print_progress(f"clean {day}")
            clean += [bench.check(day, str(day)), bench.check_predictions(day, str(day))]
        planted = []
        for number, corruption in enumerate(CORRUPTIONS):
            print_progress(f"planted {corruption.name}")
            planted.append(bench.plant(corruption, bench.clean_days[7 + number % 45]))
    print_progress("")
    print_planted(planted)
    alarms = [verdict for verdict in clean if verdict.broken]
    days = {verdict.name for verdict in alarms}
    print(f"False alarms: {len(days)} of {len(bench.clean_days)} clean days")
    for verdict in alarms:
        print(f"  {verdict.name}: {verdict.severity}: {', '.join(verdict.broken)}")
    caught = sum(bool(verdict.broken) for verdict in planted)
    sys.exit(caught < CAUGHT_AT_LEAST * len(planted) or len(days) > FALSE_ALARMS_AT_MOST)


def print_planted(planted: list[Verdict]) -> None:
    """Print a row for each corruption, and the share caught of the shop's and of predictions."""
    print("\n| corruption | caught as | first rules |\n|---|---|---|")
    for verdict in planted:
        rules = ", ".join(verdict.broken[:3])
        print(f"| {verdict.name} | {verdict.severity or '**missed**'} | {rules} |")
    of_shop = len(planted_corruptions.CORRUPTIONS)
    for title, part in (("shop", planted[:of_shop]), ("predictions", planted[of_shop:])):
        caught = sum(bool(verdict.broken) for verdict in part)
        stops = sum(verdict.severity in ("stop", "quarantine") for verdict in part)
        print(
            f"\nCaught of the {title}: {caught} of {len(part)} ({caught / len(part):.1%}), "
            f"{stops} stop the day"
        )


if __name__ == "__main__":
    main()
