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
    """Score the population of a bucket; needs no MLflow, only what `pin` copied.

    Raises:
        BadInput: the day is not pinned, there is no such bucket, or a snapshot is missing.
        Refused: the files of the model are not those that were signed, some predictions are no
            probabilities, or consent is not known.
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
    everybody = snapshots.read(settings.home, settings.definition, as_of_date, [bucket])
    known = consent.keys(settings)
    events = _of(everybody, known.are_allowed)
    log.info(
        "bucket %d: scoring from %s events of %s", bucket, f"{len(events):,}", f"{len(everybody):,}"
    )
    scores = _scores(settings, as_of_date, pin, events, model)
    score_files.require_probabilities(scores, f"scores of bucket {bucket} of {as_of_date}")
    population = _population(settings, as_of_date, everybody)
    skipped = population - _population(settings, as_of_date, events)
    with_row = _population(settings, as_of_date, _of(everybody, known.have_row))
    with ledger.transaction(settings, "score", as_of_date, bucket) as connection:
        left = _without_erased(connection, scores)
        erased = len(scores["customer_key"].unique()) - len(left["customer_key"].unique())
        receipt = {
            "as_of_date": str(as_of_date),
            "population": population - erased,
            "scored": len(left["customer_key"].unique()),
            "skipped_without_consent": skipped,
            "skipped_without_row": population - with_row,
            "digest": score_files.write(settings.home, as_of_date, bucket, left),
            "model_version": pin["model_version"],
        }
        ledger.record(connection, "score", as_of_date, receipt, bucket)
    return receipt


def _of(events: pa.Table, are: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> pa.Table:
    """Return the events of some customers, told by their keys."""
    return events.filter(are(events["customer_key"]))


def _without_erased(connection: sa.Connection, scores: pa.Table) -> pa.Table:
    """Leave out who was erased while the scores were computed."""
    for keys in identity_keys.tombstones(connection).values():
        scores = scores.filter(pc.invert(pc.is_in(scores["customer_key"], value_set=keys)))
    return scores


def _population(settings: Settings, as_of_date: date, events: pa.Table) -> int:
    """Return how many customers did something in the last `population_days`."""
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
    """Score everybody who has an event, by the model whose verified files these are."""
    from intent_tasks.models import attribution, model_io, network

    network.deterministic(settings.seed)
    model = model_io.parse(contents)
    everything = event_arrays(events, model.vocabulary, settings.time_zone)
    encoded = encode(everything, settings.definition, as_of_date)
    found = attribution.explain(model.network, encoded)
    predicted = model.probabilities(found.logits, encoded)
    explained = _reasons(found.rows, found.effects, events, settings)
    base_rate = pin["base_rates"][str(MAIN_HORIZON_DAYS)]
    main = predicted[:, HORIZONS_DAYS.index(MAIN_HORIZON_DAYS)]
    count = len(encoded.customers)
    return pa.table(
        {
            "customer_key": pa.array(everything.keys[encoded.customers].tolist(), pa.string()),
            "role": pa.array(["champion"] * count, pa.string()),
            **{f"probability_{h}d": predicted[:, n] for n, h in enumerate(HORIZONS_DAYS)},
            "stage": _stages(found.stage, everything),
            "band": pa.array(bands(main, base_rate), pa.string()),
            "reasons": pa.array([json.dumps(r) for r in explained], pa.string()),
            "reason": pa.array([sentence(r) for r in explained], pa.string()),
            "fallback_level": pa.array(["model"] * count, pa.string()),
            "channel": _last_channels(encoded, events),
        }
    )


def _stages(codes: npt.NDArray[np.integer], arrays: EventArrays) -> pa.Array:
    """Return the stage of each customer; null where the shop records only purchases."""
    known = has_stage_events(arrays)
    return pa.array([STAGES[code] if known else None for code in codes], pa.string())


def _reasons(
    rows: npt.NDArray[np.int64],
    effects: npt.NDArray[np.float32],
    events: pa.Table,
    settings: Settings,
) -> list[list[Reason]]:
    """Return, per customer, the events that changed the prediction most, strongest first."""
    named = _named_events(events, rows, settings)
    return [
        choose(
            named[int(row)] | {"effect": float(effect)}
            for row, effect in zip(customer_rows, customer_effects, strict=True)
            if row >= 0
        )
        for customer_rows, customer_effects in zip(rows, effects, strict=True)
    ]


def _named_events(
    events: pa.Table, rows: npt.NDArray[np.int64], settings: Settings
) -> dict[int, Reason]:
    """Return row → the event of that row, with no effect yet."""
    wanted = np.unique(rows[rows >= 0])
    zone = pa.timestamp("us", tz=settings.time_zone)
    chosen = events.take(pa.array(wanted, pa.int64()))
    days = pc.strftime(chosen["occurred_at"].cast(zone), format="%Y-%m-%d").to_pylist()
    parts = zip(
        wanted.tolist(),
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
