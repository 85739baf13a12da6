"""Count the rows of a batch, and remove or reject some of them."""

import json
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import CHANGED_DUPLICATE, BadRow
from intent_tasks.formats.blocks import payload
from intent_tasks.formats.convert import Batch
from intent_tasks.settings import Settings
from intent_tasks.stores import identity_keys
from intent_tasks.stores.collecting.file_ledger import Progress
from intent_tasks.stores.privacy import erased_rows


def add_batch(before: Progress, batch: Batch, added: int, changed: int = 0) -> Progress:
    """Return the progress of a file after a batch.

    Args:
        before: the progress before it.
        batch: some rows of the file.
        added: number of its events that were added.
        changed: number of its events whose id names another event.
    """
    unreadable = Counter(before.values_unreadable)
    unreadable.update({lost.column: lost.rows for lost in batch.unreadable})
    repeated = batch.repeated + batch.events.num_rows - added - changed
    return before._replace(
        blocks_done=before.blocks_done + 1,
        last_row=batch.last,
        rows_loaded=before.rows_loaded + added,
        rows_repeated=before.rows_repeated + repeated,
        rows_ignored=before.rows_ignored + batch.ignored,
        rows_quarantined=before.rows_quarantined + len(batch.bad),
        rows_read=before.rows_read + batch.rows_read,
        values_unreadable=dict(unreadable),
    )


def reject_changed(batch: Batch, changed: pa.Array) -> list[BadRow]:
    """Return the rows of events whose id names another event, for quarantine."""
    bad = {row.number for row in batch.bad}
    rows = zip(
        batch.numbers.filter(changed).to_pylist(),
        batch.sources.filter(changed).to_pylist(),
        strict=True,
    )
    keys = {number: key for number, key in rows if number not in bad}
    return [
        BadRow(number, CHANGED_DUPLICATE, payload(row), key)
        for (number, key), row in zip(keys.items(), batch.whole(list(keys)), strict=True)
    ]


def remove_erased(settings: Settings, batch: Batch) -> Batch:
    """Return the batch without rows of erased customers, bad rows included."""
    names_of = [find_names(row) for row in batch.bad]
    ids = batch.events["customer_id"].unique().to_pylist()
    erased = identity_keys.find_erased(
        settings, {*ids, *(name for names in names_of for name in names)}
    )
    if not erased:
        return batch
    is_erased = pc.is_in(
        batch.events["customer_id"], value_set=pa.array(sorted(erased), pa.string())
    )
    rest = batch.of(pc.invert(is_erased).combine_chunks())
    bad = [row for row, names in zip(batch.bad, names_of, strict=True) if not names & erased]
    left_out = batch.events.num_rows - rest.events.num_rows + len(batch.bad) - len(bad)
    return replace(rest, bad=bad, ignored=batch.ignored + left_out)


def find_names(row: BadRow) -> set[str]:
    """Return the texts of a row that may be customer ids; half a character is none."""
    texts = set(erased_rows.leaves(json.loads(row.payload)))
    return {text for text in texts if text.encode(errors="ignore").decode() == text}
