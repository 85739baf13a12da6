"""Take in what the warehouse holds of some days, block by block, in memory that does not grow.

Each block is judged as it comes: rows of erased customers are counted and left, rows that break a
rule are kept for quarantine, all others go to disk by day and bucket. When the last block is in, a
day is finished: repeats are found, customers who were erased meanwhile are left out, and what stays
is sorted and written. The result depends on the rows alone, neither on their order nor on the size
of the blocks.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.core.identity import buckets_of
from intent_tasks.core.rules import OK, BadRow, broken_rules
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import identity_keys, postgres, snapshots
from intent_tasks.stores.extracting import corrections, quarantine
from intent_tasks.stores.extracting.duplicates import Repeats, hashes, later_copies
from intent_tasks.stores.extracting.snapshot_rows import ROW, Finishing
from intent_tasks.stores.extracting.spool import Spool
from intent_tasks.tables import customer_keys

_PAIR = pa.schema([("customer_id", pa.string()), ("customer_key", pa.string())])
_NO_ROWS = pa.table({"customer_key": pa.array([], pa.string()), "_row": pa.array([], pa.int64())})

LEAST_LIMIT = 10
"""Rows of a day that may always be set aside: a share of few rows says little."""


def most_set_aside(settings: Settings, rows: int) -> float:
    """Return how many rows of a day may be set aside before it is refused."""
    return max(LEAST_LIMIT, settings.quarantine_share * rows)


class Counts(NamedTuple):
    """What became of the rows of a day, and the digest of the snapshot."""

    in_snapshot: int
    set_aside: int
    erased: int
    digest: str


@dataclass
class _Day:
    """What is known of a day while its rows come in.

    Args:
        counted: rows that the warehouse holds.
        limit: rows of them that may be set aside.
        released: digest → correction of the rows that somebody released.
        ids: hashes of the event ids of the usable rows.
        erased: rows of erased customers so far.
        broken: rule → rows that break it so far, released ones left out.
        bad: those rows, and the released ones as they were found; none beyond the limit.
    """

    counted: int
    limit: float
    released: dict[str, quarantine.Correction]
    ids: Repeats
    erased: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    bad: list[BadRow] = field(default_factory=list)

    def set_aside(self, row: BadRow) -> None:
        """Keep a row that cannot be used; it counts unless somebody released it."""
        if quarantine.digest(row.payload) not in self.released:
            self.broken[row.rule] += 1
        if self.broken.total() <= self.limit:
            self.bad.append(row)


class Intake:
    """The rows of some days of arrival on their way to snapshots.

    Args:
        settings: of this installation.
        counted: day → rows that the warehouse holds, a run without a gap.
    """

    def __init__(self, settings: Settings, counted: Mapping[date, int]) -> None:
        self._settings = settings
        self._numbers = {day: number for number, day in enumerate(counted)}
        with postgres.reading(settings.pipeline_url) as connection:
            released = quarantine.released(connection, counted)
        folder = settings.home / "snapshots"
        self._days = {
            day: _Day(rows, most_set_aside(settings, rows), released[day], Repeats(folder))
            for day, rows in counted.items()
        }
        starts = [settings.definition.day_start(day).timestamp() for day in counted]
        self._starts = (np.array(starts) * 1e6).astype(np.int64)
        self._rows = 0
        self._keys = identity_keys.Keys(settings)
        self._written: set[str] = set()
        self._spool = Spool(folder)

    def __enter__(self) -> Self:
        self._spool.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._spool.__exit__(*error)
        for day in self._days.values():
            day.ids.close()

    def add(self, block: pa.Table) -> None:
        """Judge some rows, columns of `shop.events`, and put the usable ones on the disk."""
        numbers = self._arrived_on(block)
        with postgres.changing(self._settings.pipeline_url, "customer_keys") as connection:
            block, numbers = self._without_erased(connection, block, numbers)
            identity_keys.check_key(
                self._settings, connection
            )  # it may have been rotated meanwhile
            rules = broken_rules(block, repeats=False)
            usable = pc.equal(rules, OK)
            good, of_good = block.filter(usable), numbers[_mask(usable)]
            bad = pc.invert(usable)
            corrected, of_corrected = self._set_aside(
                block.filter(bad),
                numbers[_mask(bad)],
                rules.filter(bad).to_pylist(),
            )
            if corrected.num_rows:
                corrected, of_corrected = self._judge_again(connection, corrected, of_corrected)
                good = pa.concat_tables([good, corrected])
                of_good = np.concatenate([of_good, of_corrected])
            if good.num_rows:
                self._keep(connection, good, of_good)

    def _arrived_on(self, block: pa.Table) -> npt.NDArray[np.int64]:
        at = block["occurred_at"]
        if "ingested_at" in block.column_names:
            at = pc.coalesce(block["ingested_at"], at)
        micros = at.combine_chunks().cast(pa.timestamp("us", tz="UTC")).view(pa.int64())
        numbers: npt.NDArray[np.int64] = np.searchsorted(self._starts, micros.to_numpy(), "right")
        return numbers - 1

    def _without_erased(
        self, connection: sa.Connection, rows: pa.Table, numbers: npt.NDArray[np.int64]
    ) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        erased = identity_keys.are_erased(
            connection, self._settings, rows["customer_id"], self._keys
        )
        theirs = erased.to_numpy()
        if not theirs.any():
            return rows, numbers
        for day, number in self._numbers.items():
            self._days[day].erased += int((numbers[theirs] == number).sum())
        return rows.filter(pc.invert(erased)), numbers[~theirs]

    def _set_aside(
        self, rows: pa.Table, numbers: npt.NDArray[np.int64], rules: list[str]
    ) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """Keep rows for quarantine; return those that were released, corrected."""
        days = list(self._days.values())
        places, found = [], []
        for place, (bad, number) in enumerate(
            zip(self._bad_rows(rows, rules), numbers.tolist(), strict=True)
        ):
            day = days[number]
            day.set_aside(bad)
            if (name := quarantine.digest(bad.payload)) in day.released:
                places.append(place)
                found.append(day.released[name])
        chosen = pa.array(places, pa.int64())
        return corrections.apply(rows.take(chosen), found), numbers[places]

    def _judge_again(
        self, connection: sa.Connection, rows: pa.Table, numbers: npt.NDArray[np.int64]
    ) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """Judge corrected rows as any other, but for what a person may accept."""
        rows, numbers = self._without_erased(connection, rows, numbers)
        rules = broken_rules(rows, repeats=False, accepted=True)
        usable = pc.equal(rules, OK)
        bad = pc.invert(usable)
        days = list(self._days.values())
        still = self._bad_rows(rows.filter(bad), rules.filter(bad).to_pylist())
        for row, number in zip(still, numbers[_mask(bad)].tolist(), strict=True):
            days[number].set_aside(row)
        return rows.filter(usable), numbers[_mask(usable)]

    def _bad_rows(self, rows: pa.Table, rules: list[str]) -> list[BadRow]:
        return [
            BadRow(
                0,
                rule,
                json.dumps(_replayable(row), default=str),
                row.get("event_id"),
                self._key_of(row.get("customer_id")),
            )
            for row, rule in zip(rows.to_pylist(), rules, strict=True)
        ]

    def _key_of(self, customer_id: str | None) -> str | None:
        return identity_keys.keys(self._settings, [customer_id])[0].as_py() if customer_id else None

    def _keep(
        self, connection: sa.Connection, rows: pa.Table, numbers: npt.NDArray[np.int64]
    ) -> None:
        """Write the pairs of id and key, and put the rows on the disk."""
        ids = rows["customer_id"].combine_chunks().dictionary_encode()
        keys = self._keys_of(connection, ids.dictionary.to_pylist())
        buckets = buckets_of(keys.to_pylist(), self._settings.bucket_count)
        rows = rows.append_column("customer_key", pc.take(keys, ids.indices))
        numbered = np.arange(self._rows, self._rows + rows.num_rows)
        self._rows += rows.num_rows
        rows = rows.append_column(ROW, pa.array(numbered))
        of_row = buckets[ids.indices.to_numpy()]
        self._spool.add(numbers * self._settings.bucket_count + of_row, rows)
        seen = hashes(rows["event_id"])
        for number, day in enumerate(self._days.values()):
            if (of_day := numbers == number).any():
                day.ids.add(seen[of_day])

    def _keys_of(self, connection: sa.Connection, ids: list[str]) -> pa.Array:
        """Return the key of each id, and write the pairs that no block before had."""
        keys = self._keys.of(ids)
        pairs = pa.table([ids, keys], schema=_PAIR)
        new = pa.array([name not in self._written for name in ids], pa.bool_())
        _write_keys(connection, self._settings, pairs.filter(new))
        if len(self._written) > identity_keys.MOST_KEYS:
            self._written = set()
        self._written.update(ids)
        return keys

    # ── The end of a day ──────────────────────────────────────────────────────────────────────────

    def finish(self, connection: sa.Connection, on: date, products: pa.Table) -> Counts:
        """Write the snapshot and the quarantine of a day, in the caller's transaction.

        Args:
            connection: holds the lock of the day.
            on: day of arrival; all its rows are in.
            products: as `Warehouse.products` returns them.

        Raises:
            Refused: too many rows cannot be used; nothing was written.
        """
        day = self._days[on]
        settings = self._settings
        none = pa.array([], pa.string())
        gone = identity_keys.tombstones(connection).get(settings.identity_key_id, none)
        identity_keys.check_key(settings, connection)
        later, rules = self._repeats(on, gone)
        day.broken.update(rules)
        if day.broken.total() > day.limit:
            raise _refusal(on, day)
        bad = [*day.bad, *self._bad_rows(later.drop_columns(["customer_key", ROW]), rules)]
        left = [row for row in bad if row.customer_key not in set(gone.to_pylist())]
        quarantine.replace(connection, quarantine.arrivals_of(on), _numbered(left))
        rest = Finishing(gone, later[ROW].combine_chunks(), products, self._keys.of)
        written = snapshots.write_buckets(
            settings.home,
            on,
            (rest.parts(self._spool.read(n)) for n in self._compartments(on)),
            day.counted,
            settings.identity_key_id,
            settings.time_zone,
        )
        removed = len(bad) - len(left)
        return Counts(
            written["rows"],
            day.broken.total() - removed,
            day.erased + rest.erased + removed,
            written["digest"],
        )

    def _compartments(self, on: date) -> range:
        count = self._settings.bucket_count
        return range(self._numbers[on] * count, (self._numbers[on] + 1) * count)

    def _repeats(self, on: date, gone: pa.Array) -> tuple[pa.Table, list[str]]:
        """Return the rows whose event_id another row of the day has first, and the rule of each."""
        day = self._days[on]
        twice = day.ids.found()
        found = [
            block.filter(pa.array(np.isin(hashes(block["event_id"]), twice)))
            for n in self._compartments(on)
            for block in (self._spool.blocks(n) if len(twice) else ())
        ]
        if not found:
            return _NO_ROWS, []
        rows = pa.concat_tables(found)
        kept = rows.filter(pc.invert(pc.is_in(rows["customer_key"], value_set=gone)))
        return later_copies(kept, ROW)


def _mask(values: pa.Array) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return mask


def _numbered(rows: list[BadRow]) -> list[BadRow]:
    """Number rows from 1, whatever the order they were found in."""
    order = sorted(rows, key=lambda row: (row.key or "", row.payload))
    return [row._replace(number=number) for number, row in enumerate(order, 1)]


def _replayable(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with numbers that JSON does not know as text."""
    return {
        name: str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in row.items()
    }


def _refusal(on: date, day: _Day) -> Refused:
    rules = ", ".join(f"{rule}: {count}" for rule, count in day.broken.most_common() if count)
    return Refused(
        f"{day.broken.total()} of {day.counted} rows that arrived on {on} cannot be used; at most "
        f"{day.limit:.0f} may be set aside. Nothing of that day was written. By rule: {rules}. "
        "Mend the load and run the day again; to set the rows aside as they are, run it once "
        "with INTENT_QUARANTINE_SHARE=1."
    )


def _write_keys(connection: sa.Connection, settings: Settings, pairs: pa.Table) -> None:
    temporary = "new_keys"
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE {temporary} (customer_id text, customer_key text) ON COMMIT DROP"
    )
    postgres.copy_in(connection, temporary, pairs)
    new = sa.table(temporary, sa.column("customer_id"), sa.column("customer_key"))
    query = sa.select(new.c.customer_id, new.c.customer_key, sa.literal(settings.identity_key_id))
    names = ["customer_id", "customer_key", "key_id"]
    insert = postgresql.insert(customer_keys).from_select(names, query.order_by(new.c.customer_id))
    connection.execute(insert.on_conflict_do_nothing())
