"""Erase customers from every place of the register, and leave a tombstone that keeps them out.

First comes the tombstone, in a transaction of its own, with the model versions that learned from
the customer. Then every place is cleared, and the pair of id and key last. An erasure that was
killed is run again and clears the rest.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB

from intent_tasks.errors import IntentError, Refused, TemporaryFailure
from intent_tasks.settings import Settings
from intent_tasks.stores import identity_keys, ledger, postgres, snapshot_customers, snapshots
from intent_tasks.stores.privacy import erased_files, erased_logs, erased_rows
from intent_tasks.stores.privacy.erased_rows import People, Removed, are
from intent_tasks.tables import customer_keys, erasure_requests, erasures, model_versions, runs


@dataclass(frozen=True)
class Erased:
    """The erasure of one customer.

    Args:
        customer_id: id in the shop.
        known: true if this or an earlier erasure found data of the customer.
        erased_before: time of an earlier erasure; None: there was none.
        removed: place → rows removed now.
        model_versions: versions whose training read their events.
    """

    customer_id: str
    known: bool
    erased_before: datetime | None
    removed: dict[str, int]
    model_versions: list[int]


def known(settings: Settings, ids: Iterable[str]) -> set[str]:
    """Return the ids that are in the data or have a tombstone."""
    named = pa.chunked_array([pa.array(list(ids), pa.string())])
    query = sa.select(customer_keys.c.customer_id)
    with postgres.reading(settings.pipeline_url) as connection:
        is_erased = identity_keys.are_erased(connection, settings, named)
        in_data = query.where(customer_keys.c.customer_id.in_(named.to_pylist()))
        return {*connection.scalars(in_data), *named.filter(is_erased).to_pylist()}


def erase(
    settings: Settings, ids: Iterable[str], report: Callable[[str], object] = len
) -> list[Erased]:
    """Erase customers from every place of the register.

    Args:
        settings: of this installation.
        ids: the shop's ids, each once. An unknown customer gets a tombstone as well.
        report: called with each place before it is cleared.

    Returns:
        One erasure a customer, in the order of the ids.

    Raises:
        Refused: the identity key is not that of the data.
        BadInput: a file that may hold the customers is damaged.
    """
    identity_keys.check_key(settings)
    people = _people(settings, ids)
    if not people:
        return []
    known_before = known(settings, people.values())
    before = _leave_tombstones(settings, people)
    report("searching the snapshots")
    found = _find_events(settings, people)
    _note_versions(settings, found)
    removed = _clear(settings, people, found, report)
    _note_versions(settings, found)  # one may have been registered since
    versions = _finish(settings, people, removed)
    return [
        Erased(
            customer_id,
            customer_id in known_before or any(owner == key for _, owner in removed),
            before.get(key),
            {place: n for (place, owner), n in sorted(removed.items()) if owner == key},
            versions.get(key, []),
        )
        for key, customer_id in people.items()
    ]


def _clear(
    settings: Settings,
    people: People,
    found: Mapping[date, pa.Table],
    report: Callable[[str], object],
) -> Removed:
    """Clear every place; an error names the places that are cleared and those that are not."""
    clear: dict[str, Callable[[Settings, People], Removed]] = {
        "snapshots": partial(erased_files.clear_snapshots, found=found),
        "scores": erased_files.clear_scores,
        "training": erased_files.clear_training,
        "exports": erased_files.clear_exports,
        "logs": erased_logs.clear_logs,
        "schema shop": erased_rows.clear_shop,
        "schema intent": erased_rows.clear_intent,
    }
    removed: Removed = Counter()
    for done, place in enumerate(clear):
        report(f"clearing {place}")
        try:
            removed += clear[place](settings, people)
        except IntentError as error:
            names = list(clear)
            raise type(error)(
                f"{str(error).replace('Nothing was changed. ', '')} The erasure is not finished. "
                f"Cleared: {', '.join(names[:done]) or 'nothing'}. Not cleared, or in part: "
                f"{', '.join(names[done:])}. A tombstone keeps the customers out. Run the erasure "
                "again: it clears the rest."
            ) from error
    return removed


def _people(settings: Settings, ids: Iterable[str]) -> People:
    named = list(ids)
    return dict(zip(identity_keys.keys(settings, named).to_pylist(), named, strict=True))


def _leave_tombstones(settings: Settings, people: People) -> dict[str, datetime]:
    """Write the missing tombstones; return the times of those that existed."""
    with postgres.changing(settings.pipeline_url, "erase") as connection:
        identity_keys.before_new_tombstones(connection)
        query = sa.select(erasures.c.customer_key, erasures.c.erased_at)
        before = dict(connection.execute(query.where(are(erasures, people))).all())
        now = datetime.now(UTC)
        rows = [
            {"customer_key": key, "key_id": settings.identity_key_id, "erased_at": now}
            for key in people
            if key not in before
        ]
        if rows:
            connection.execute(postgresql.insert(erasures), rows)
    return before


# ── Snapshots and the versions that were trained from them ────────────────────────────────────────


def _find_events(settings: Settings, people: People) -> dict[date, pa.Table]:
    """Return customer_key and occurred_at of the events of customers, by day of arrival."""
    home = settings.home
    found = {day: snapshot_customers.find(home, day, people) for day in snapshots.days(home)}
    return {
        day: rows
        for day, rows in found.items()
        if rows.num_rows or snapshot_customers.has_leftovers(home, day)
    }


def _note_versions(settings: Settings, found: Mapping[date, pa.Table]) -> None:
    """Add the versions whose training read an event of the customer to the tombstone."""
    events = [
        (key, day, at)
        for day, rows in found.items()
        for key, at in zip(*(rows[name].to_pylist() for name in rows.column_names), strict=True)
    ]
    definition = settings.definition
    with postgres.changing(settings.pipeline_url, "erase") as connection:
        for version in connection.execute(sa.select(model_versions)):
            first, last = version.first_day, version.last_day
            start, end = definition.day_start(first), definition.day_end(last)
            learned_from = {
                key for key, day, at in events if first <= day <= last and start <= at < end
            }
            for key in learned_from:
                _add_version(connection, key, version.model_version)


def _add_version(connection: sa.Connection, key: str, version: int) -> None:
    known_versions = sa.func.coalesce(erasures.c.model_versions, sa.cast([], sa.ARRAY(sa.Integer)))
    connection.execute(
        sa.update(erasures)
        .where(
            erasures.c.customer_key == key,
            sa.literal(version) != sa.all_(known_versions),
        )
        .values(model_versions=sa.func.array_append(known_versions, version))
    )


def _finish(settings: Settings, people: People, removed: Removed) -> dict[str, list[int]]:
    """Record what was removed; return the versions that learned from each customer."""
    now = datetime.now(UTC)
    with postgres.changing(settings.pipeline_url, "erase") as connection:
        for key, customer_id in people.items():
            counts = {place: n for (place, owner), n in sorted(removed.items()) if owner == key}
            before = sa.func.coalesce(erasures.c.removed, sa.cast({}, JSONB))
            connection.execute(
                sa.update(erasures)
                .where(erasures.c.customer_key == key)
                # Counts of an earlier erasure stay; a place that is cleared again replaces its own.
                .values(finished_at=now, removed=before.op("||")(sa.cast(counts, JSONB)))
            )
            connection.execute(
                sa.update(erasure_requests)
                .where(erasure_requests.c.customer_id == customer_id)
                .values(customer_id=None, customer_key=key, done_at=now)
            )
        query = sa.select(erasures.c.customer_key, erasures.c.model_versions)
        rows = connection.execute(query.where(are(erasures, people)))
        return {key: sorted(versions or []) for key, versions in rows}


def require_none_since_window(settings: Settings, as_of_date: date) -> None:
    """Check that no customer was erased from a training window since it was chosen.

    Otherwise the model has learned from an erased customer, and no tombstone names its version.

    Raises:
        TemporaryFailure: an erasure is under way.
        Refused: a customer was erased.
    """
    of_window = (runs.c.step == "window") & (runs.c.as_of_date == as_of_date)
    since = sa.select(runs.c.finished_at).where(of_window).scalar_subquery()
    newer = sa.select(erasures.c.finished_at).where(erasures.c.erased_at > since)
    with postgres.reading(settings.pipeline_url) as connection:
        window = ledger.read_receipt(connection, "window", as_of_date) or {}
        ends = connection.scalars(newer).all()
    if not ends:
        return
    if None in ends:
        raise TemporaryFailure("An erasure is under way; run this again when it is done.")
    first, last = (date.fromisoformat(window[name]) for name in ("first_day", "last_day"))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    if snapshots.digest(settings.home, days) != window["snapshot_digest"]:
        raise Refused(
            f"Customers were erased since the window of {as_of_date} was chosen, and a model that "
            "is trained on it would have learned from them. Run "
            f"`intent step window --as-of-date {as_of_date}` and train again."
        )
