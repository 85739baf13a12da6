"""Predict one bucket of customers with the pinned version."""

import json
import logging
from collections.abc import Callable, Mapping
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.core.bands import bands
from intent_tasks.core.encoding import Encoded, encode
from intent_tasks.core.event_arrays import EventArrays, event_arrays
from intent_tasks.core.reasons import Reason, choose, sentence
from intent_tasks.core.stages import has_stage_events
from intent_tasks.definition import HORIZONS_DAYS, MAIN_HORIZON_DAYS, STAGES
from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import identity_keys, ledger, manifest, score_files, snapshots
from intent_tasks.stores.privacy import consent

log = logging.getLogger(__name__)


def run(settings: Settings, as_of_date: date, bucket: int) -> Receipt:
    """Score the population of a bucket from the files that `pin` copied, without MLflow.

    Raises:
        BadInput: the day is not pinned, there is no such bucket, or a snapshot is missing.
        Refused: the files of the model differ from the signed ones, some predictions are no
            probabilities, or consent cannot be read.
    """
    pin = ledger.receipt_of(settings, "pin", as_of_date)
    if pin is None:
        raise BadInput(f"Run `intent step pin --as-of-date {as_of_date}` first.")
    if bucket not in pin["buckets"]:
        raise BadInput(f"There is no bucket {bucket}; buckets: {pin['buckets']}.")
    identity_keys.check_key(settings)
    subject = manifest.Subject(settings.model_name, pin["model_version"], pin["run_id"])
    key = settings.manifest_key.get_secret_value().encode()
    model = manifest.verify(
        settings.home / pin["model_path"], pin["manifest_digest"], subject, key
    ).contents
    all_events = snapshots.read(settings.home, settings.definition, as_of_date, [bucket])
    consents = consent.keys(settings)
    events = _filter(all_events, consents.are_allowed)
    log.info(
        "bucket %d: scoring from %s events of %s",
        bucket,
        f"{len(events):,}",
        f"{len(all_events):,}",
    )
    scores = _scores(settings, as_of_date, pin, events, model)
    score_files.require_probabilities(scores, f"scores of bucket {bucket} of {as_of_date}")
    population = _count_population(settings, as_of_date, all_events)
    skipped = population - _count_population(settings, as_of_date, events)
    with_row = _count_population(settings, as_of_date, _filter(all_events, consents.have_row))
    with ledger.transaction(settings, "score", as_of_date, bucket) as connection:
        remaining = _remove_erased(connection, scores)
        scored = len(remaining["customer_key"].unique())
        erased = len(scores["customer_key"].unique()) - scored
        receipt = {
            "as_of_date": str(as_of_date),
            "population": population - erased,
            "scored": scored,
            "skipped_without_consent": skipped,
            "skipped_without_row": population - with_row,
            "digest": score_files.write(settings.home, as_of_date, bucket, remaining),
            "model_version": pin["model_version"],
        }
        ledger.record(connection, "score", as_of_date, receipt, bucket)
    return receipt


def _filter(
    events: pa.Table, select_keys: Callable[[pa.ChunkedArray], pa.ChunkedArray]
) -> pa.Table:
    """Return the events of the customers whose keys a function selects."""
    return events.filter(select_keys(events["customer_key"]))


def _remove_erased(connection: sa.Connection, scores: pa.Table) -> pa.Table:
    """Return the scores without customers who were erased during the computation."""
    for keys in identity_keys.tombstones(connection).values():
        scores = scores.filter(pc.invert(pc.is_in(scores["customer_key"], value_set=keys)))
    return scores


def _count_population(settings: Settings, as_of_date: date, events: pa.Table) -> int:
    """Count the customers with an event in the last `population_days`."""
    definition = settings.definition
    first = definition.day_end(as_of_date) - timedelta(days=definition.population_days)
    recent = pc.greater_equal(events["occurred_at"], pa.scalar(first, snapshots.INSTANT))
    return int(pc.count_distinct(events["customer_key"].filter(recent)).as_py())


def _scores(
    settings: Settings,
    as_of_date: date,
    pin: Receipt,
    events: pa.Table,
    contents: Mapping[str, bytes],
) -> pa.Table:
    """Score all customers with an event, with the model in the verified files."""
    from intent_tasks.models import attribution, model_io, network

    network.deterministic(settings.seed)
    model = model_io.parse(contents)
    arrays = event_arrays(events, model.vocabulary, settings.time_zone)
    encoded = encode(arrays, settings.definition, as_of_date)
    explained = attribution.explain(model.network, encoded)
    predicted = model.probabilities(explained.logits, encoded)
    reasons = _reasons(explained.rows, explained.effects, events, settings)
    base_rate = pin["base_rates"][str(MAIN_HORIZON_DAYS)]
    main = predicted[:, HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)]
    count = len(encoded.customers)
    return pa.table(
        {
            "customer_key": pa.array(arrays.keys[encoded.customers].tolist(), pa.string()),
            "role": pa.array(["champion"] * count, pa.string()),
            **{f"probability_{h}d": predicted[:, n] for n, h in enumerate(HORIZONS_DAYS)},
            "stage": _stages(explained.stage, arrays),
            "band": pa.array(bands(main, base_rate), pa.string()),
            "reasons": pa.array([json.dumps(r) for r in reasons], pa.string()),
            "reason": pa.array([sentence(r) for r in reasons], pa.string()),
            "fallback_level": pa.array(["model"] * count, pa.string()),
            "channel": _last_channels(encoded, events),
        }
    )


def _stages(codes: npt.NDArray[np.integer], arrays: EventArrays) -> pa.Array:
    """Return the stage of each customer; null if the shop records only purchases."""
    has_stages = has_stage_events(arrays)
    return pa.array([STAGES[code] if has_stages else None for code in codes], pa.string())


def _reasons(
    rows: npt.NDArray[np.int64],
    effects: npt.NDArray[np.float32],
    events: pa.Table,
    settings: Settings,
) -> list[list[Reason]]:
    """Return, per customer, the events that changed the prediction most, strongest first."""
    reason_of_row = _describe_events(events, rows, settings)
    return [
        choose(
            reason_of_row[int(row)] | {"effect": float(effect)}
            for row, effect in zip(customer_rows, customer_effects, strict=True)
            if row >= 0
        )
        for customer_rows, customer_effects in zip(rows, effects, strict=True)
    ]


def _describe_events(
    events: pa.Table, rows: npt.NDArray[np.int64], settings: Settings
) -> dict[int, Reason]:
    """Return row → the event of that row, with an effect of 0."""
    row_numbers = np.unique(rows[rows >= 0])
    zone = pa.timestamp("us", tz=settings.time_zone)
    chosen = events.take(pa.array(row_numbers, pa.int64()))
    days = pc.strftime(chosen["occurred_at"].cast(zone), format="%Y-%m-%d").to_pylist()
    parts = zip(
        row_numbers.tolist(),
        chosen["event_type"].to_pylist(),
        chosen["product_id"].to_pylist(),
        days,
        strict=True,
    )
    return {
        row: Reason(event_type=kind, product_id=product, occurred_on=day, effect=0.0)
        for row, kind, product, day in parts
    }


def _last_channels(encoded: Encoded, events: pa.Table) -> pa.Array:
    last = pa.array(encoded.events.row[encoded.place[encoded.event_end[1:] - 1]], pa.int64())
    return events["channel"].take(last).combine_chunks()
