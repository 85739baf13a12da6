"""The network and the baselines on recorded shops: purchases after an anchor day.

retailrocket: within 7 days, split as the step `window` does. online_retail: within 30 days;
training anchors every fifth day from 60 to 214, test anchors on days 280, 310 and 340. Calibration
uses day 245, and the training days of a fifth of the customers, who are not trained on: one day in
August would not represent the orders of autumn. Both are also measured with earlier cuts of time.

Command: `python -m benchmarks.quality_snapshots retailrocket PATH/events.csv`
or `python -m benchmarks.quality_snapshots online_retail PATH/online_retail.parquet`
"""

import argparse
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.support import compare_models, recorded_events
from intent_tasks.core.anchors import NEVER, split_days
from intent_tasks.core.dataset import SPLITS, Dataset, Rows
from intent_tasks.core.encoding import encode, join
from intent_tasks.core.event_arrays import EventArrays, event_arrays
from intent_tasks.core.vocabulary import Vocabulary, learn_vocabulary
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition
from tools.testbed.shops import without_content

SMALL = {"min_data_in_leaf": 20, "num_leaves": 7, "learning_rate": 0.02}
"""Parameters of the trees for shops of a few thousand customers."""
RETAIL_CUTS = (
    {"train": range(60, 121, 5), "calibrate": [150], "test": [185]},
    {"train": range(60, 151, 5), "calibrate": [180], "test": [215]},
    {"train": range(60, 181, 5), "calibrate": [210], "test": [245]},
    {"train": range(60, 215, 5), "calibrate": [245], "test": [280, 310, 340]},
)
ENDS_EARLIER = (34, 20, 0)
"""Days cut from the end of the recording of retailrocket, so that test periods are consecutive."""
RETAIL_HORIZON_DAYS = 30
HELD_OUT = 5
"""One in this many customers is kept for calibration on the training days."""
FIRST_ANCHOR_DAY = 30


def _days(events: pd.DataFrame) -> tuple[date, date]:
    first, last = (datetime.fromtimestamp(int(s), UTC).date()
                   for s in (events["second"].min(), events["second"].max()))  # fmt: skip
    return first, last


def retailrocket(path: Path, options: argparse.Namespace) -> list[compare_models.Tested]:
    """Return the test rows of each cut of time."""
    events = recorded_events.retailrocket(path)
    first, last = _days(events)
    whole, cuts = recorded_events.as_snapshot(events), []
    for earlier in ENDS_EARLIER:
        end = last - timedelta(days=max(HORIZONS_DAYS) + earlier)
        split = split_days(first + timedelta(days=FIRST_ANCHOR_DAY), end)
        assert split is not None
        days = {"train": split.train, "calibrate": split.calibrate, "test": split.test}
        dataset = Dataset(lambda _: whole, 1, days, Definition(), 7)
        dataset.learn_vocabulary()
        sources = {part: dataset.source(part) for part in SPLITS}
        (test,) = sources["test"](0, 0)
        cuts.append(_fit_and_test(sources, dataset.vocabulary, test, options))
    return cuts


def online_retail(path: Path, options: argparse.Namespace) -> list[compare_models.Tested]:
    """Return the test rows of each cut of time."""
    events = recorded_events.online_retail(path)
    first, _ = _days(events)
    whole = recorded_events.as_snapshot(events)
    cuts = [_fit_and_test(*_retail_rows(whole, first, days), options) for days in RETAIL_CUTS]
    if options.bare:
        bare = _fit_and_test(*_retail_rows(without_content(whole), first, RETAIL_CUTS[-1]), options)
        predictions = compare_models.compare_bare(cuts[-1].predictions, *bare)
        compare_models.print_metrics("online_retail", predictions, *cuts[-1][1:])
    return cuts


def _retail_rows(
    whole: pa.Table, first: date, cut: dict[str, Iterable[int]]
) -> tuple[dict, Vocabulary, Rows]:
    """Return the sources of rows, the vocabulary and the test rows."""
    anchors = {part: [first + timedelta(days=n) for n in days] for part, days in cut.items()}
    definition = Definition(population_days=400, history_days=400)
    end = definition.day_end(anchors["train"][-1])
    known = whole.filter(pa.compute.less(whole["ingested_at"], pa.scalar(end)))
    vocabulary = learn_vocabulary([known])
    number = pa.array(whole["customer_key"].to_pandas().astype(int) % HELD_OUT)
    held = pa.compute.equal(number, 0)

    def rows(part: str, chosen: pa.Array | None = None) -> Rows:
        events = whole if chosen is None else whole.filter(chosen)
        return _rows(event_arrays(events, vocabulary, "UTC"), definition, anchors[part])

    test = rows("test")
    sources = {
        "train": compare_models.source(rows("train", pa.compute.invert(held))),
        "calibrate": compare_models.source(rows("calibrate"), rows("train", held)),
        "test": compare_models.source(test),
    }
    return sources, vocabulary, test


def _rows(arrays: EventArrays, definition: Definition, anchors: Sequence[date]) -> Rows:
    """Return rows whose only interval is the horizon of this task."""
    encoded, labels = [], []
    for anchor in anchors:
        encoded.append(encode(arrays, definition, anchor))
        start = int(definition.day_end(anchor).timestamp())
        ahead = (arrays.occurred >= start) & arrays.is_purchase
        ahead &= arrays.occurred < start + RETAIL_HORIZON_DAYS * 86_400
        bought = np.isin(encoded[-1].customers, arrays.customer[ahead])
        labels.append(np.where(bought, 0, NEVER).astype(np.int32))
    return Rows(join(encoded), np.concatenate(labels))


def _fit_and_test(
    sources: dict, vocabulary: Vocabulary, test: Rows, options: argparse.Namespace
) -> compare_models.Tested:
    predictions = compare_models.Models(sources, vocabulary, options, **SMALL).predict(test)
    customers = test.encoded.events.keys[test.encoded.customers].astype(str)
    return compare_models.Tested(predictions, test.purchased_within(MAIN_HORIZON_DAYS), customers)


def main() -> None:
    """Print the tables of one shop."""
    parser = compare_models.options(__doc__)
    parser.add_argument("shop", choices=["retailrocket", "online_retail"])
    parser.add_argument("path", type=Path)
    given = parser.parse_args()
    tested = {"retailrocket": retailrocket, "online_retail": online_retail}[given.shop]
    compare_models.print_cuts(given.shop, tested(given.path, given))


if __name__ == "__main__":
    main()
