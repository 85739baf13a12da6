"""The network and the baselines on real shops, as customers on a day: who purchases afterwards.

retailrocket: within 7 days, split as the step `window` does. online_retail: within 30 days, anchors
on day 60 … 214 every fifth, tested on day 280, 310 and 340. Stopped and calibrated on day 245, and
on the learned days of a fifth of the customers, who are not learned from: one day in August alone
says nothing of how many order in autumn. Both with earlier cuts of time as well.

Command: `python -m benchmarks.quality_snapshots retailrocket PATH/events.csv`
or `python -m benchmarks.quality_snapshots online_retail PATH/online_retail.parquet`
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks import quality_compared as compared
from benchmarks import quality_events
from benchmarks.shops import without_content
from intent_tasks.core.anchors import NEVER, split_days
from intent_tasks.core.dataset import SPLITS, Dataset, Rows
from intent_tasks.core.encoding import encode, join
from intent_tasks.core.event_arrays import EventArrays, event_arrays
from intent_tasks.core.vocabulary import Vocabulary, learn_vocabulary
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, Definition

SMALL = {"min_data_in_leaf": 20, "num_leaves": 7, "learning_rate": 0.02}
"""Of the trees: shops of a few thousand customers."""
RETAIL_CUTS = (
    {"train": range(60, 121, 5), "calibrate": [150], "test": [185]},
    {"train": range(60, 151, 5), "calibrate": [180], "test": [215]},
    {"train": range(60, 181, 5), "calibrate": [210], "test": [245]},
    {"train": range(60, 215, 5), "calibrate": [245], "test": [280, 310, 340]},
)
ENDS_EARLIER = (34, 20, 0)
"""Days by which the recording of retailrocket is cut, so that test days follow each other."""
RETAIL_HORIZON_DAYS = 30
HELD_OUT = 5
"""One of this many customers calibrates on the days on which the others are learned from."""
FIRST_ANCHOR_DAY = 30


def _days(events: pd.DataFrame) -> tuple[date, date]:
    first, last = (datetime.fromtimestamp(int(s), UTC).date()
                   for s in (events["second"].min(), events["second"].max()))  # fmt: skip
    return first, last


def retailrocket(path: Path, asked: object) -> list[compared.Tested]:
    events = quality_events.retailrocket(path)
    first, last = _days(events)
    whole, cuts = quality_events.table(events), []
    for earlier in ENDS_EARLIER:
        end = last - timedelta(days=max(HORIZONS_DAYS) + earlier)
        split = split_days(first + timedelta(days=FIRST_ANCHOR_DAY), end)
        assert split is not None
        days = {"train": split.train, "calibrate": split.calibrate, "test": split.test}
        slices = Dataset(lambda _: whole, 1, days, Definition(), 7)
        slices.learn_vocabulary()
        sources = {part: slices.source(part) for part in SPLITS}
        (test,) = sources["test"](0, 0)
        cuts.append(_tested(sources, slices.vocabulary, test, asked))
    return cuts


def online_retail(path: Path, asked: object) -> list[compared.Tested]:
    events = quality_events.online_retail(path)
    first, _ = _days(events)
    whole = quality_events.table(events)
    cuts = [_tested(*_retail_rows(whole, first, days), asked) for days in RETAIL_CUTS]
    if asked.bare:
        bare = _tested(*_retail_rows(without_content(whole), first, RETAIL_CUTS[-1]), asked)
        said = compared.beside_bare(cuts[-1].said, *bare)
        compared.show("online_retail", said, *cuts[-1][1:])
    return cuts


def _retail_rows(
    whole: pa.Table, first: date, cut: dict[str, Iterable[int]]
) -> tuple[dict, Vocabulary, Rows]:
    """Return the rows to learn from, the vocabulary and the rows to test on."""
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
        "train": compared.source(rows("train", pa.compute.invert(held))),
        "calibrate": compared.source(rows("calibrate"), rows("train", held)),
        "test": compared.source(test),
    }
    return sources, vocabulary, test


def _rows(everything: EventArrays, definition: Definition, anchors: Sequence[date]) -> Rows:
    """Return rows whose first interval is this task's horizon: in it, or never."""
    encoded, labels = [], []
    for anchor in anchors:
        encoded.append(encode(everything, definition, anchor))
        start = int(definition.day_end(anchor).timestamp())
        ahead = (everything.occurred >= start) & everything.is_purchase
        ahead &= everything.occurred < start + RETAIL_HORIZON_DAYS * 86_400
        bought = np.isin(encoded[-1].customers, everything.customer[ahead])
        labels.append(np.where(bought, 0, NEVER).astype(np.int32))
    return Rows(join(encoded), np.concatenate(labels))


def _tested(sources: dict, vocabulary: Vocabulary, test: Rows, asked: object) -> compared.Tested:
    said = compared.Models(sources, vocabulary, asked, **SMALL).said(test)
    customers = test.encoded.events.keys[test.encoded.customers].astype(str)
    return compared.Tested(said, test.purchased_within(MAIN_HORIZON_DAYS), customers)


def main() -> None:
    """Print the tables of one shop."""
    parser = compared.options(__doc__)
    parser.add_argument("shop", choices=["retailrocket", "online_retail"])
    parser.add_argument("path", type=Path)
    asked = parser.parse_args()
    tested = {"retailrocket": retailrocket, "online_retail": online_retail}[asked.shop]
    compared.show_cuts(asked.shop, tested(asked.path, asked))


if __name__ == "__main__":
    main()
