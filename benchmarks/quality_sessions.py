"""Purchases in the current session, after 1, 3 and 5 events, on the public Retailrocket events.

A session ends with a pause of 30 minutes. The models read the first events of the session, with or
without the customer's earlier history, and nothing at or after its first purchase. Sessions are
split by their start: training before 2015-07-25, calibration before 2015-08-10, test after. Two
earlier cuts of time show whether the result depends on the end of the recording.

Each session becomes a customer of its own, with times shifted so that all share one anchor.
Command: `python -m benchmarks.quality_sessions PATH/events.csv`
"""

import argparse
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.support import compare_models, recorded_events
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
"""Last days of training, of calibration and of test, not included."""
ANCHOR = date(2016, 1, 1)
DEFINITION = Definition(population_days=400, history_days=400)
MOST_EVENTS = 400
"""Most events that are read of a customer."""
SMALL = {"min_data_in_leaf": 30, "num_leaves": 15, "learning_rate": 0.03}


def sessions(events: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of events at which each session starts, ends and first purchases."""
    pause = events["second"].diff() > SESSION_GAP_SECONDS
    run_starts = np.flatnonzero(pause | (events["customer_key"] != events["customer_key"].shift()))
    ends = np.append(run_starts[1:], len(events))
    bought = np.append(np.flatnonzero(events["event_type"] == "purchase"), len(events))
    first = bought[np.searchsorted(bought, run_starts)]
    return pd.DataFrame({"start": run_starts, "end": ends, "purchase": np.minimum(first, ends)})


def session_starts(
    events: pd.DataFrame, length: int, with_history: bool
) -> tuple[pd.DataFrame, ...]:
    """Return the events that are read of each session, and label and times of each session."""
    sessions_read = sessions(events)
    sessions_read = sessions_read[
        sessions_read["purchase"] - sessions_read["start"] >= length
    ].reset_index(drop=True)
    customers = events["customer_key"].to_numpy()
    first = np.searchsorted(customers, customers[sessions_read["start"]])  # sorted by customer
    stop = sessions_read["start"].to_numpy() + length
    begin = (
        np.maximum(first, stop - MOST_EVENTS) if with_history else sessions_read["start"].to_numpy()
    )
    count = stop - begin
    session = np.repeat(np.arange(len(sessions_read)), count)
    row = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count) + begin[session]
    second = events["second"].to_numpy()
    sessions_read["customer"] = customers[sessions_read["start"]]
    sessions_read["began"], sessions_read["now"] = (
        second[sessions_read["start"]],
        second[stop - 1] + 1,
    )
    sessions_read["buys"] = sessions_read["purchase"] < sessions_read["end"]
    read = events.iloc[row].assign(customer_key=[f"{n:07d}" for n in session])
    return read.reset_index(drop=True), sessions_read


def rows_of(read: pd.DataFrame, sessions_read: pd.DataFrame, vocabulary: dict) -> Rows:
    """Return the rows of sessions, in their order, all at one anchor."""
    arrays = event_arrays(recorded_events.as_snapshot(read), vocabulary, "UTC")
    end = int(DEFINITION.day_end(ANCHOR).timestamp())
    now = sessions_read["now"].to_numpy()
    shifted = arrays.occurred + (end - now)[arrays.customer]
    day = (shifted // DAY_SECONDS).astype(np.int32)
    encoded = encode(
        replace(arrays, occurred=shifted, ingested=shifted, day=day), DEFINITION, ANCHOR
    )
    assert len(encoded.customers) == len(sessions_read)
    hour, week = 2 * np.pi * now / DAY_SECONDS, 2 * np.pi * (now // DAY_SECONDS) / 7
    clock = {"hour_sin": np.sin(hour), "hour_cos": np.cos(hour)}
    clock |= {"weekday_sin": np.sin(week), "weekday_cos": np.cos(week)}
    for name, values in clock.items():
        encoded.features[:, FEATURES.index(name)] = values
    # Sessions of one person are not independent: resampling must know whose they are.
    person = np.unique(sessions_read["customer"], return_inverse=True)[1].astype(np.int32)
    first = np.where(sessions_read["buys"], 0, NEVER).astype(np.int32)
    return Rows(replace(encoded, customers=person), first)


def compare(
    events: pd.DataFrame, length: int, with_history: bool, options: argparse.Namespace
) -> None:
    """Print the tables of one task."""
    preposition = "with" if with_history else "without"
    title = f"after {length} events, {preposition} the customer's earlier history"
    cuts = [test_cut(events, length, with_history, cut, options) for cut in CUTS]
    compare_models.print_cuts(title, cuts)


def test_cut(
    events: pd.DataFrame,
    length: int,
    with_history: bool,
    cut: tuple[str, ...],
    options: argparse.Namespace,
) -> compare_models.Tested:
    """Fit the models for one cut of time; return their predictions of its test sessions."""
    train_end, calibration_end, test_end = (
        int(pd.Timestamp(day, tz="UTC").timestamp()) for day in cut
    )
    events = events[events["second"] < test_end].reset_index(drop=True)
    vocabulary = learn_vocabulary(
        [recorded_events.as_snapshot(events[events["second"] < train_end])]
    )
    read, sessions_read = session_starts(events, length, with_history)
    part = np.digitize(sessions_read["began"], [train_end, calibration_end])
    number = read["customer_key"].astype(int).to_numpy()
    rows = {}
    for n, name in enumerate(SPLITS):
        chosen = part == n
        rows[name] = rows_of(read[chosen[number]], sessions_read[chosen], vocabulary)
    sources = {name: compare_models.source(values) for name, values in rows.items()}
    models = compare_models.Models(sources, vocabulary, options, **SMALL)
    test, customers = (
        rows["test"],
        sessions_read["customer"].to_numpy()[part == SPLITS.index("test")],
    )
    return compare_models.Tested(
        models.predict(test), test.purchased_within(MAIN_HORIZON_DAYS), customers
    )


def main() -> None:
    """Print the tables of six tasks."""
    parser = compare_models.options(__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--only", type=int, choices=PREFIXES, help="only after this many events")
    given = parser.parse_args()
    events = recorded_events.retailrocket(given.path)
    for with_history in (True, False):
        for length in (given.only,) if given.only else PREFIXES:
            compare(events, length, with_history, given)


if __name__ == "__main__":
    main()
