"""Land new files of events in schema `shop`: each once, block by block.

A block is one transaction: its events, its products, its rows for quarantine, and the progress of
the file. After a kill the next run continues with the next block; nothing is loaded twice.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import BinaryIO

import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.errors import BadInput, NothingToDo, Refused
from intent_tasks.formats import files, mapping, sentinels
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import identity_keys, ledger, postgres, simulated_shop
from intent_tasks.stores.collecting import batches, changed_files, discovery, file_ledger, landing
from intent_tasks.stores.collecting.file_loop import MOST_NAMED, Report, label_files, load_each
from intent_tasks.stores.collecting.totals import COUNTED, Totals
from intent_tasks.stores.extracting import quarantine
from intent_tasks.stores.extracting.day_builder import LEAST_LIMIT
from intent_tasks.stores.read_ahead import read_ahead

log = logging.getLogger(__name__)

REPORT_EVERY_SECONDS = 10


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Collect the new files at INTENT_COLLECT_URL.

    Raises:
        NothingToDo: the setting is empty.
        Refused: files cannot be used; the others were collected.
    """
    if not settings.collect_url:
        raise NothingToDo("INTENT_COLLECT_URL is not set: the shop fills its tables itself.")
    if not settings.collect_format:
        raise BadInput(
            f"INTENT_COLLECT_FORMAT is not set. Formats: {', '.join(mapping.names())}, or a .toml "
            "file of your own."
        )
    totals = collect(settings, settings.collect_url, settings.collect_format, log.info)
    log.info(totals.summary())
    receipt: Receipt = {
        "as_of_date": str(as_of_date),
        **{f"files_{n}": totals.files[n] for n in ("loaded", "known", "ignored", "rewritten")},
        **{f"rows_{name}": totals.rows[name] for name in (*COUNTED, "gone")},
        "values_unreadable": {name: lost.rows for name, lost in totals.unreadable.items()},
        "rows_skipped": dict(totals.skipped),
    }
    return ledger.finish_step(settings, "collect", as_of_date, receipt)


def collect(
    settings: Settings, url: str, format_name: str, report: Report, *, alone: bool = False
) -> Totals:
    """Load the new files at and below a URL.

    An unusable file does not prevent the others from being loaded.

    Args:
        settings: of this installation.
        url: folder, object-store prefix or file, as fsspec reads it.
        format_name: a format that comes with the product, or the path of a .toml file.
        report: receives a line about every file, and progress lines about long ones.
        alone: refuse if other files are loaded, because one file is the whole shop.

    Raises:
        BadInput: there is no such place, format or file of events.
        Refused: files are unusable or have changed, or the shop cannot be filled.
        TemporaryFailure: the database failed; the next call continues at the same block.
    """
    layout = mapping.load(format_name).of_table("events")
    owner = simulated_shop.owner_url(settings)
    files_found, others, hidden = discovery.find(url, settings.collect_options.get_secret_value())
    with postgres.changing(owner, "collect") as connection:
        if alone:
            _require_alone(connection, files_found[0].url)
        landing.prepare(connection)
    totals = Totals(files=Counter({"ignored": len(others) + hidden}))
    if others:
        more = ", …" if len(others) > MOST_NAMED else ""
        report(
            f"Passed over: {', '.join(others[:MOST_NAMED])}{more} ({len(others)} in all). "
            f"{discovery.ENDINGS_HINT}"
        )
    file_loads = (
        _FileLoad(settings, file, url, layout, format_name, report, label)
        for file, label in label_files(files_found)
    )
    load_each(file_loads, totals, report)
    if totals.rows["loaded"]:
        with postgres.changing(owner, "collect") as connection:
            landing.analyze(connection)
    if totals.problems or totals.faults:
        report(totals.summary())
    totals.require_all(len(files_found))
    return totals


def _require_alone(connection: sa.Connection, url: str) -> None:
    if others := file_ledger.list_other_files(connection, url):
        raise Refused(
            f"Another shop is loaded here ({', '.join(others)}). Remove it with `make clean`, or "
            "set INTENT_HOME to another folder for another shop. To add files to it, use "
            "`intent collect`."
        )


@dataclass
class _FileLoad:
    """The load of one file into the shop."""

    settings: Settings
    file: discovery.File
    source: str
    layout: mapping.Format
    format_name: str
    report: Report
    label: str

    @property
    def url(self) -> str:
        """The address of the file."""
        return self.file.url

    def load(self, totals: Totals) -> str:
        """Load the remaining rows of the file; return what happened, such as `loaded`."""
        with self._changing() as connection:
            recorded = file_ledger.read_progress(connection, self.file.url)
        if recorded and recorded.state != file_ledger.LOADING and recorded.is_of(self.file):
            return self._skip(recorded, totals)
        digest = self.file.digest()
        progress = self._claim(digest)
        if progress is None:
            return self._skip(recorded, totals)
        if progress.state == file_ledger.COPY:
            return "copied"
        load = self._load_at_once if self._is_compared_by_content(progress) else self._load
        load(progress, totals)
        return "loaded"

    def _skip(self, recorded: file_ledger.Progress | None, totals: Totals) -> str:
        if recorded and recorded.format != self.format_name:
            totals.files["in another format"] += 1
        return "known"

    def _changing(self) -> AbstractContextManager[sa.Connection]:
        return postgres.changing(simulated_shop.owner_url(self.settings), "collect")

    def _is_compared_by_content(self, progress: file_ledger.Progress) -> bool:
        """Return whether the file changed and its rows have no ids of their own."""
        if not progress.earlier_digests:
            return False
        with self.file.opened() as opened:
            first = next(self._batches(opened, progress), None)
        return first is not None and not first.has_ids

    def _claim(self, digest: str) -> file_ledger.Progress | None:
        """Record in the ledger that the file is being loaded; None if there is nothing to load."""
        with self._changing() as connection:
            recorded = file_ledger.read_progress(connection, self.file.url)
            begun = recorded and (recorded.state != file_ledger.LOADING or recorded.blocks_done > 0)
            if recorded and begun and recorded.digest == digest:
                file_ledger.touch(connection, self.file)
                return recorded if recorded.state == file_ledger.LOADING else None
            if recorded and recorded.state == file_ledger.LOADING:  # start from the beginning
                landing.delete_events(connection, recorded.file_id)
            original = file_ledger.find_original(connection, self.file.url, digest)
            state = file_ledger.COPY if original else file_ledger.LOADING
            if original:
                self.report(f"{self.label} has the content of {original}; it is not loaded again.")
            return file_ledger.begin(
                connection, self.file, self.source, self.format_name, digest, state, recorded
            )

    def _load(self, progress: file_ledger.Progress, totals: Totals) -> None:
        begun = reported = time.monotonic()
        suspected: Counter[str] = Counter()
        with self.file.opened() as opened:
            for batch in read_ahead(self._batches(opened, progress)):
                suspected.update(sentinels.count_sentinels(batch.events))
                self._check(batch, progress, totals)
                before, progress = progress, self._load_block(progress, batch)
                totals.add(before, progress)
                totals.count_batch(self.file.url, batch)
                if time.monotonic() - reported > REPORT_EVERY_SECONDS:
                    reported = time.monotonic()
                    self.report(f"{self.label} {progress.rows_loaded:,} events so far")
        with self._changing() as connection:
            done = progress._replace(state=file_ledger.LOADED)
            file_ledger.advance(connection, self.file.url, progress, done)
        for text in sentinels.describe_sentinels(suspected):
            self.report(f"{self.label} {text}")
        self._report_done(done, totals, time.monotonic() - begun)

    def _load_at_once(self, progress: file_ledger.Progress, totals: Totals) -> None:
        """Load a changed file whose rows are compared by content, in one transaction."""
        begun, first, counts = time.monotonic(), progress, Totals()
        with self._changing() as connection, self.file.opened() as opened:
            identity_keys.hold_off_tombstones(connection)
            changed_files.create_table(connection)
            for batch in read_ahead(self._batches(opened, progress)):
                self._check(batch, progress, totals)
                remaining = batches.remove_erased(self.settings, batch)
                changed_files.add_events(connection, remaining.events)
                landing.add_products(connection, remaining.products)
                quarantine.add(connection, self.file.url, remaining.bad)
                progress = batches.add_batch(progress, remaining, remaining.events.num_rows)
                counts.count_batch(self.file.url, batch)
            merged = changed_files.merge(connection, progress.earlier_ids)
            done = progress._replace(
                state=file_ledger.LOADED,
                rows_loaded=merged.added,
                rows_repeated=progress.events - merged.added,
                rows_gone=merged.missing,
            )
            file_ledger.advance(connection, self.file.url, first, done)
        totals.add(first, done)
        totals.unreadable |= counts.unreadable
        totals.skipped += counts.skipped
        self._report_done(done, totals, time.monotonic() - begun)

    def _batches(self, opened: BinaryIO, progress: file_ledger.Progress) -> Iterator[files.Batch]:
        return files.batches(
            opened,
            self.file.path,
            self.layout,
            progress.file_id,
            progress.last_row,
            datetime.now(UTC),
        )

    def _check(self, batch: files.Batch, progress: file_ledger.Progress, totals: Totals) -> None:
        self._require_usable(progress, batch)
        self._report_absent(progress, batch, totals.absent)

    def _report_done(self, done: file_ledger.Progress, totals: Totals, seconds: float) -> None:
        quarantined = f", {done.rows_quarantined:,} set aside" if done.rows_quarantined else ""
        self.report(
            f"{self.label} {done.rows_loaded:,} events{quarantined} in {seconds:.1f} s; "
            f"{done.rows_read:,} rows read"
        )
        if done.values_unreadable:
            columns = ", ".join(
                f"{name} {count:,}" for name, count in done.values_unreadable.items()
            )
            self.report(f"{self.label} WARNING: null because they cannot be read: {columns}")
        if done.earlier_digests:
            totals.files["rewritten"] += 1
            totals.rows["gone"] += done.rows_gone
            self.report(
                f"{self.label} it has changed since it was collected: {done.rows_loaded:,} events "
                f"are new, {done.rows_repeated:,} were loaded before; {done.rows_gone:,} earlier "
                "events are no longer in it; they stay in the shop."
            )

    def _load_block(self, before: file_ledger.Progress, batch: files.Batch) -> file_ledger.Progress:
        with self._changing() as connection:
            identity_keys.hold_off_tombstones(connection)
            remaining = batches.remove_erased(self.settings, batch)
            appended = landing.append(
                connection,
                remaining.events,
                expect_known=before.rows_repeated > 0 or bool(before.earlier_digests),
                sources=remaining.sources,
                compare=remaining.own_ids,
            )
            landing.add_products(connection, remaining.products)
            changed = batches.reject_changed(remaining, appended.changed)
            quarantine.add(connection, self.file.url, [*remaining.bad, *changed])
            changed_count = pc.sum(appended.changed).as_py() or 0
            after = batches.add_batch(before, remaining, appended.added, changed_count)
            loaded_before = batch.events.num_rows - appended.added + batch.repeated
            after = after._replace(
                rows_quarantined=after.rows_quarantined + len(changed),
                rows_gone=max(0, before.rows_gone - loaded_before),
            )
            file_ledger.advance(connection, self.file.url, before, after)
        return after

    def _report_absent(
        self, progress: file_ledger.Progress, batch: files.Batch, reported: set[str]
    ) -> None:
        """Report each column without any value once, because its field may have another name."""
        if progress.blocks_done == 0 and (new := [n for n in batch.absent if n not in reported]):
            reported.update(new)
            self.report(f"{self.label} no row of its first block has {', '.join(new)}: left empty.")

    def _require_usable(self, progress: file_ledger.Progress, batch: files.Batch) -> None:
        """Refuse a file with too few usable rows in its first block: its format is wrong."""
        if progress.blocks_done:
            return
        if batch.events.num_rows + batch.repeated + batch.ignored == 0:
            raise files.no_usable_line_error(self.file.url, self.format_name, batch.bad)
        limit = max(LEAST_LIMIT, self.settings.collect_quarantine_share * batch.judged)
        if len(batch.bad) > limit:
            raise files.too_many_bad_error(self.file.url, batch)
