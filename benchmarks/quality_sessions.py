"""Who buys in this session, after its first 1, 3 and 5 events, on the public Retailrocket events.

A session ends with a pause of 30 minutes. What is read: the customer's earlier history (or not) and
the first events of the session, nothing at or after its first purchase. By the session's start:
learned before 2015-07-25, stopped and calibrated before 2015-08-10, tested after; and with two
earlier cuts of time, so that not one end of the recording alone says which model is ahead.

Each start of a session is a customer of its own whose clock is moved, so that all have one anchor.
Command: `python -m benchmarks.quality_sessions PATH/events.csv`
"""

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import quality_compared as compared
from benchmarks import quality_events
from intent_tasks.core.anchors import NEVER
from intent_tasks.core.dataset import SPLITS, Rows
from intent_tasks.core.encoding import encode
from intent_tasks.core.event_arrays import DAY_SECONDS, event_arrays
from intent_tasks.core.event_counts import SESSION_GAP_SECONDS
from intent_tasks.core.features import FEATURES
from intent_tasks.core.vocabulary import learn_vocabulary
from intent_tasks.definition import MAIN_HORIZON_DAYS, Definition

PREFIXES = (1, 3, 5)
CUTS = (
    ("2015-06-14", "2015-06-30", "2015-07-20"),
    ("2015-07-04", "2015-07-20", "2015-08-10"),
    ("2015-07-25", "2015-08-10", "2015-10-01"),
)
"""Days before which is learned, stopped and calibrated, tested."""
ANCHOR = date(2016, 1, 1)
DEFINITION = Definition(population_days=400, history_days=400)
MOST_EVENTS = 400
"""Latest events of a customer that are read."""
SMALL = {"min_data_in_leaf": 30, "num_leaves": 15, "learning_rate": 0.03}


def sessions(events: pd.DataFrame) -> pd.DataFrame:
    """Return where each session begins and ends in the events, and its first purchase."""
    pause = events["second"].diff() > SESSION_GAP_SECONDS
    run_starts = np.flatnonzero(pause | (events["customer_key"] != events["customer_key"].shift()))
    ends = np.append(run_starts[1:], len(events))
    bought = np.append(np.flatnonzero(events["event_type"] == "purchase"), len(events))
    first = bought[np.searchsorted(bought, run_starts)]
    return pd.DataFrame({"start": run_starts, "end": ends, "purchase": np.minimum(first, ends)})


def starts_of(events: pd.DataFrame, length: int, with_past: bool) -> tuple[pd.DataFrame, ...]:
    """Return the events that are read of each session, and label and times of each session."""
    found = sessions(events)
    found = found[found["purchase"] - found["start"] >= length].reset_index(drop=True)
    customers = events["customer_key"].to_numpy()
    first = np.searchsorted(customers, customers[found["start"]])  # sorted by customer
    stop = found["start"].to_numpy() + length
    begin = np.maximum(first, stop - MOST_EVENTS) if with_past else found["start"].to_numpy()
    count = stop - begin
    who = np.repeat(np.arange(len(found)), count)
    place = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count) + begin[who]
    second = events["second"].to_numpy()
    found["customer"] = customers[found["start"]]
    found["began"], found["now"] = second[found["start"]], second[stop - 1] + 1
    found["buys"] = found["purchase"] < found["end"]
    read = events.iloc[place].assign(customer_key=[f"{n:07d}" for n in who])
    return read.reset_index(drop=True), found


def rows_of(read: pd.DataFrame, found: pd.DataFrame, vocabulary: dict) -> Rows:
    """Return the rows of sessions, in their order, all at one anchor."""
    known = event_arrays(quality_events.table(read), vocabulary, "UTC")
    end = int(DEFINITION.day_end(ANCHOR).timestamp())
    now = found["now"].to_numpy()
    moved = known.occurred + (end - now)[known.customer]
    day = (moved // DAY_SECONDS).astype(np.int32)
    encoded = encode(replace(known, occurred=moved, ingested=moved, day=day), DEFINITION, ANCHOR)
    assert len(encoded.customers) == len(found)
    hour, week = 2 * np.pi * now / DAY_SECONDS, 2 * np.pi * (now // DAY_SECONDS) / 7
    clock = {"hour_sin": np.sin(hour), "hour_cos": np.cos(hour)}
    clock |= {"weekday_sin": np.sin(week), "weekday_cos": np.cos(week)}
    for name, values in clock.items():
        encoded.features[:, FEATURES.index(name)] = values
        encoded.features[:, FEATURES.index(name)] = values
    # Sessions of one person tell one thing: it is known whose they are where that counts.
    person = np.unique(found["customer"], return_inverse=True)[1].astype(np.int32)
    first = np.where(found["buys"], 0, NEVER).astype(np.int32)
    return Rows(replace(encoded, customers=person), first)


def compare(events: pd.DataFrame, length: int, with_past: bool, asked: object) -> None:
    """Print the tables of one task."""
    past = "with" if with_past else "without"
    title = f"after {length} events, {past} the customer's earlier history"
    cuts = [tested(events, length, with_past, cut, asked) for cut in CUTS]
    compared.show_cuts(title, cuts)


def tested(
    events: pd.DataFrame, length: int, with_past: bool, cut: tuple[str, ...], asked: object
) -> compared.Tested:
    """Return what models say that were fitted for one cut of time."""
    learned, calibrated, last = (int(pd.Timestamp(day, tz="UTC").timestamp()) for day in cut)
    events = events[events["second"] < last].reset_index(drop=True)
    vocabulary = learn_vocabulary([quality_events.table(events[events["second"] < learned])])
    read, found = starts_of(events, length, with_past)
    part = np.digitize(found["began"], [learned, calibrated])
    number = read["customer_key"].astype(int).to_numpy()
    rows = {}
    for n, name in enumerate(SPLITS):
        chosen = part == n
        rows[name] = rows_of(read[chosen[number]], found[chosen], vocabulary)
    sources = {name: compared.source(values) for name, values in rows.items()}
    models = compared.Models(sources, vocabulary, asked, **SMALL)
    test, customers = rows["test"], found["customer"].to_numpy()[part == SPLITS.index("test")]
    return compared.Tested(models.said(test), test.purchased_within(MAIN_HORIZON_DAYS), customers)


def main() -> None:
    """Print the tables of six tasks."""
    parser = compared.options(__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--only", type=int, choices=PREFIXES, help="after so many events only")
    asked = parser.parse_args()
    events = quality_events.retailrocket(asked.path)
    for with_past in (True, False):
        for length in (asked.select,) if asked.select else PREFIXES:
            compare(events, length, with_past, asked)


if __name__ == "__main__":
    main()
