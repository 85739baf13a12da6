"""Build the snapshots of some days from blocks of rows, in memory that does not grow with a day.

`DayBuilder.add` checks each block: it drops and counts the rows of erased customers, keeps the rows
that break a rule for the quarantine, and writes all others to disk by day and bucket. After the
last block, `DayBuilder.finish` finds the duplicates of a day, drops the customers who were erased
meanwhile, and sorts and writes the rest. The result depends on the rows only, not on their order or
on the size of the blocks.
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
from intent_tasks.stores.extracting.duplicates import Copies, HashFile, find_copies, hashes
from intent_tasks.stores.extracting.snapshot_rows import ROW, SnapshotRows
from intent_tasks.stores.extracting.spool import Spool
from intent_tasks.tables import customer_keys

_PAIR = pa.schema([("customer_id", pa.string()), ("customer_key", pa.string())])
_NO_ROWS = pa.table({"customer_key": pa.array([], pa.string()), "_row": pa.array([], pa.int64())})

LEAST_LIMIT = 10
"""Rows of a day that may always be set aside: a share of few rows means little."""


def most_set_aside(settings: Settings, rows: int) -> float:
    """Return how many rows of a day may be set aside before it is refused."""
    return max(LEAST_LIMIT, settings.quarantine_share * rows)


class Counts(NamedTuple):
    """The rows of a day by where they went, and the digest of the snapshot."""

    in_snapshot: int
    set_aside: int
    repeated: int
    erased: int
    digest: str


@dataclass
class _Day:
    """The state of a day while its rows are added.

    Args:
        row_count: rows of the day in the warehouse.
        limit: rows that may be set aside.
        released: digest → correction of the rows that a person released.
        id_hashes: of the event ids of the usable rows.
        erased_count: rows of erased customers so far.
        broken: rule → rows that break it so far, without released ones.
        bad_rows: those rows, and the released ones as they were found; no more than the limit.
    """

    row_count: int
    limit: float
    released: dict[str, quarantine.Correction]
    id_hashes: HashFile
    erased_count: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    bad_rows: list[BadRow] = field(default_factory=list)

    def set_aside(self, row: BadRow) -> None:
        """Keep a row that breaks a rule, and count it unless a person released it."""
        if quarantine.digest(row.payload) not in self.released:
            self.broken[row.rule] += 1
        if self.broken.total() <= self.limit:
            self.bad_rows.append(row)


class DayBuilder:
    """Builds the snapshots of consecutive days of arrival.

    Args:
        settings: of this installation.
        row_counts: day → rows of the day in the warehouse; days without a gap.
    """

    def __init__(self, settings: Settings, row_counts: Mapping[date, int]) -> None:
        self._settings = settings
        self._numbers = {day: number for number, day in enumerate(row_counts)}
        with postgres.reading(settings.pipeline_url) as connection:
            released = quarantine.released(connection, row_counts)
        folder = settings.home / "snapshots"
        self._days = {
            day: _Day(rows, most_set_aside(settings, rows), released[day], HashFile(folder))
            for day, rows in row_counts.items()
        }
        starts = [settings.definition.day_start(day).timestamp() for day in row_counts]
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
            day.id_hashes.close()

    def add(self, block: pa.Table) -> None:
        """Check a block of rows, columns of `shop.events`, and write the usable ones to disk."""
        numbers = self._arrived_on(block)
        with postgres.changing(self._settings.pipeline_url, "customer_keys") as connection:
            block, numbers = self._without_erased(connection, block, numbers)
            # Another process may have rotated the key since the last block.
            identity_keys.check_key(self._settings, connection)
            rules = broken_rules(block, repeats=False)
            usable = pc.equal(rules, OK)
            good, good_days = block.filter(usable), numbers[_mask(usable)]
            bad = pc.invert(usable)
            corrected, corrected_days = self._set_aside(
                block.filter(bad),
                numbers[_mask(bad)],
                rules.filter(bad).to_pylist(),
            )
            if corrected.num_rows:
                corrected, corrected_days = self._check_corrected(
                    connection, corrected, corrected_days
                )
                good = pa.concat_tables([good, corrected])
                good_days = np.concatenate([good_days, corrected_days])
            if good.num_rows:
                self._spool_rows(connection, good, good_days)

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
        is_erased = erased.to_numpy()
        if not is_erased.any():
            return rows, numbers
        for day, number in self._numbers.items():
            self._days[day].erased_count += int((numbers[is_erased] == number).sum())
        return rows.filter(pc.invert(erased)), numbers[~is_erased]

    def _set_aside(
        self, rows: pa.Table, numbers: npt.NDArray[np.int64], rules: list[str]
    ) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """Keep rows for the quarantine; return the released ones with their corrections."""
        days = list(self._days.values())
        positions, released = [], []
        for position, (bad, number) in enumerate(
            zip(self._bad_rows(rows, rules), numbers.tolist(), strict=True)
        ):
            day = days[number]
            day.set_aside(bad)
            if (name := quarantine.digest(bad.payload)) in day.released:
                positions.append(position)
                released.append(day.released[name])
        chosen = rows.take(pa.array(positions, pa.int64()))
        return corrections.apply(chosen, released), numbers[positions]

    def _check_corrected(
        self, connection: sa.Connection, rows: pa.Table, numbers: npt.NDArray[np.int64]
    ) -> tuple[pa.Table, npt.NDArray[np.int64]]:
        """Check corrected rows by the rules that a person may not waive."""
        rows, numbers = self._without_erased(connection, rows, numbers)
        rules = broken_rules(rows, repeats=False, accepted=True)
        usable = pc.equal(rules, OK)
        bad = pc.invert(usable)
        days = list(self._days.values())
        bad_rows = self._bad_rows(rows.filter(bad), rules.filter(bad).to_pylist())
        for row, number in zip(bad_rows, numbers[_mask(bad)].tolist(), strict=True):
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

    def _spool_rows(
        self, connection: sa.Connection, rows: pa.Table, numbers: npt.NDArray[np.int64]
    ) -> None:
        """Write the pairs of id and key to Postgres, and the rows to disk."""
        ids = rows["customer_id"].combine_chunks().dictionary_encode()
        keys = self._keys_of(connection, ids.dictionary.to_pylist())
        buckets = buckets_of(keys.to_pylist(), self._settings.bucket_count)
        rows = rows.append_column("customer_key", pc.take(keys, ids.indices))
        numbered = np.arange(self._rows, self._rows + rows.num_rows)
        self._rows += rows.num_rows
        rows = rows.append_column(ROW, pa.array(numbered))
        row_buckets = buckets[ids.indices.to_numpy()]
        self._spool.add(numbers * self._settings.bucket_count + row_buckets, rows)
        hashed = hashes(rows["event_id"])
        for number, day in enumerate(self._days.values()):
            if (of_day := numbers == number).any():
                day.id_hashes.add(hashed[of_day])

    def _keys_of(self, connection: sa.Connection, ids: list[str]) -> pa.Array:
        """Return the key of each id, and write the pairs that earlier blocks did not have."""
        keys = self._keys.of(ids)
        pairs = pa.table([ids, keys], schema=_PAIR)
        new = pa.array([name not in self._written for name in ids], pa.bool_())
        _write_keys(connection, self._settings, pairs.filter(new))
        if len(self._written) > identity_keys.MAX_CACHED_KEYS:
            self._written = set()
        self._written.update(ids)
        return keys

    # ── The end of a day ──────────────────────────────────────────────────────────────────────────

    def finish(self, connection: sa.Connection, on: date, products: pa.Table) -> Counts:
        """Write the snapshot and the quarantine of a day, in the caller's transaction.

        Args:
            connection: holds the lock of the day.
            on: day of arrival; all its rows were added.
            products: as `Warehouse.products` returns them.

        Raises:
            Refused: too many rows break a rule; nothing was written.
        """
        day = self._days[on]
        settings = self._settings
        no_keys = pa.array([], pa.string())
        erased_keys = identity_keys.tombstones(connection).get(settings.identity_key_id, no_keys)
        identity_keys.check_key(settings, connection)
        copies = self._copies(on, erased_keys)
        day.broken.update(copies.rules)
        if day.broken.total() > day.limit:
            raise _refusal(on, day)
        others = copies.others.drop_columns(["customer_key", ROW])
        bad_rows = [*day.bad_rows, *self._bad_rows(others, copies.rules)]
        kept = [row for row in bad_rows if row.customer_key not in set(erased_keys.to_pylist())]
        quarantine.replace(connection, quarantine.arrivals_of(on), _numbered(kept))
        left_out = pa.concat_arrays([copies.exact, copies.others[ROW].combine_chunks()])
        rows = SnapshotRows(erased_keys, left_out, products, self._keys.of)
        manifest = snapshots.write_buckets(
            settings.home,
            on,
            (rows.parts(self._spool.read(n)) for n in self._compartments(on)),
            day.row_count,
            settings.identity_key_id,
            settings.time_zone,
        )
        erased = len(bad_rows) - len(kept)
        return Counts(
            manifest["rows"],
            day.broken.total() - erased,
            len(copies.exact),
            day.erased_count + rows.erased_count + erased,
            manifest["digest"],
        )

    def _compartments(self, on: date) -> range:
        count = self._settings.bucket_count
        return range(self._numbers[on] * count, (self._numbers[on] + 1) * count)

    def _copies(self, on: date, erased_keys: pa.Array) -> Copies:
        """Find the rows whose event_id an earlier row of the day has."""
        repeated = self._days[on].id_hashes.repeated()
        blocks = [
            block.filter(pa.array(np.isin(hashes(block["event_id"]), repeated)))
            for n in self._compartments(on)
            for block in (self._spool.blocks(n) if len(repeated) else ())
        ]
        if not blocks:
            return Copies(pa.array([], pa.int64()), _NO_ROWS, [])
        rows = pa.concat_tables(blocks)
        is_erased = pc.is_in(rows["customer_key"], value_set=erased_keys)
        return find_copies(rows.filter(pc.invert(is_erased)), ROW)


def _mask(values: pa.Array) -> npt.NDArray[np.bool_]:
    mask: npt.NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
    return mask


def _numbered(rows: list[BadRow]) -> list[BadRow]:
    """Number rows from 1, independently of the order in which they were found."""
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
        f"{day.broken.total()} of {day.row_count} rows that arrived on {on} cannot be used; at "
        f"most {day.limit:.0f} may be set aside. Nothing of that day was written. By rule: "
        f"{rules}. "
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
