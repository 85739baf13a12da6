"""What becomes of a batch of a file: what is left out, set aside and counted."""

import json
from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc

from intent_tasks.core.rules import CHANGED, BadRow
from intent_tasks.formats.blocks import payload
from intent_tasks.formats.convert import Batch
from intent_tasks.settings import Settings
from intent_tasks.stores import identity_keys
from intent_tasks.stores.collecting.file_ledger import Progress
from intent_tasks.stores.privacy import erased_rows


def add_batch(before: Progress, batch: Batch, added: int, changed: int = 0) -> Progress:
    """Return how far a file is after a batch, of whose events so many were added."""
    unreadable = Counter(before.values_unreadable)
    unreadable.update({lost.column: lost.rows for lost in batch.unreadable})
    known = batch.repeated + batch.events.num_rows - added - changed
    return before._replace(
        blocks_done=before.blocks_done + 1,
        last_row=batch.last,
        rows_loaded=before.rows_loaded + added,
        rows_repeated=before.rows_repeated + known,
        rows_ignored=before.rows_ignored + batch.ignored,
        rows_quarantined=before.rows_quarantined + len(batch.bad),
        rows_read=before.rows_read + batch.rows_read,
        values_unreadable=dict(unreadable),
    )


def reject_changed(batch: Batch, changed: pa.Array) -> list[BadRow]:
    """Return the rows of events whose id names another event, to be set aside."""
    aside = {row.number for row in batch.bad}
    rows = zip(
        batch.numbers.filter(changed).to_pylist(),
        batch.sources.filter(changed).to_pylist(),
        strict=True,
    )
    keys = {number: key for number, key in rows if number not in aside}
    return [
        BadRow(number, CHANGED, payload(row), key)
        for (number, key), row in zip(keys.items(), batch.whole(list(keys)), strict=True)
    ]


def remove_erased(settings: Settings, batch: Batch) -> Batch:
    """Leave out the rows of erased customers: what is collected is ours to keep them out of."""
    names_of = [find_names(row) for row in batch.bad]
    ids = batch.events["customer_id"].unique().to_pylist()
    gone = identity_keys.erased_among(
        settings, {*ids, *(name for names in names_of for name in names)}
    )
    if not gone:
        return batch
    theirs = pc.is_in(batch.events["customer_id"], value_set=pa.array(sorted(gone), pa.string()))
    kept = batch.of(pc.invert(theirs).combine_chunks())
    bad = [row for row, names in zip(batch.bad, names_of, strict=True) if not names & gone]
    left_out = batch.events.num_rows - kept.events.num_rows + len(batch.bad) - len(bad)
    return replace(kept, bad=bad, ignored=batch.ignored + left_out)


def find_names(row: BadRow) -> set[str]:
    """Return who a row may name; nobody is called by half a character."""
    texts = set(erased_rows.leaves(json.loads(row.payload)))
    return {text for text in texts if text.encode(errors="ignore").decode() == text}
