"""Land new files of events in schema `shop`: each once, block by block.

A block is one transaction: its events, what they tell about products, the rows set aside and how
far the file is now. A run that was killed goes on at the next block; nothing is loaded twice.
"""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.errors import BadInput, NothingToDo, Refused
from intent_tasks.formats import files, mapping, suspects
from intent_tasks.settings import Settings
from intent_tasks.steps import Receipt
from intent_tasks.stores import postgres, shop
from intent_tasks.stores.collecting import collected, folders, landing
from intent_tasks.stores.extracting import quarantine
from intent_tasks.stores.extracting.intake import LEAST_LIMIT
from intent_tasks.stores.privacy import erased_rows, identity
from intent_tasks.stores.read_ahead import read_ahead

SAY_EVERY_SECONDS = 10
MOST_NAMED = 5
"""Files that cannot be used, or are passed over, and are named."""

Say = Callable[[str], None]


@dataclass
class Totals:
    """What one call of `collect` did."""

    files: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    absent: set[str] = field(default_factory=set)

    def said(self) -> str:
        """Return it as a sentence."""
        rows, other = self.rows, self.files["in another format"]
        in_other = f" ({other} in another format, and they stay as that read them)" if other else ""
        return (
            f"{self.files['loaded']} files collected, "
            f"{self.files['known']} known before{in_other}: "
            f"{rows['loaded']:,} events loaded, {rows['repeated']:,} were there already, "
            f"{rows['ignored']:,} rows tell of no event, {rows['quarantined']:,} set aside in "
            "intent.quarantine."
        )


def run(settings: Settings, as_of_date: date) -> Receipt:
    """Collect what is new at INTENT_COLLECT_URL.

    Raises:
        NothingToDo: no such place is set.
        Refused: files cannot be used; the others were collected.
    """
    if not settings.collect_url:
        raise NothingToDo("INTENT_COLLECT_URL is not set: the shop fills its tables itself.")
    if not settings.collect_format:
        raise BadInput(
            f"INTENT_COLLECT_FORMAT is not set. Formats: {', '.join(mapping.names())}, or a .toml "
            "file of your own."
        )
    totals = collect(settings, settings.collect_url, settings.collect_format, _to_log)
    receipt: Receipt = {
        "as_of_date": str(as_of_date),
        **{f"files_{name}": totals.files[name] for name in ("loaded", "known", "ignored")},
        **{f"rows_{n}": totals.rows[n] for n in ("loaded", "repeated", "ignored", "quarantined")},
    }
    with postgres.writing(settings, "collect", as_of_date) as connection:
        postgres.record(connection, "collect", as_of_date, receipt)
    return receipt


def _to_log(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def collect(
    settings: Settings, url: str, format_name: str, say: Say, *, alone: bool = False
) -> Totals:
    """Load the files at and below a URL that are not loaded yet.

    A file that cannot be used does not keep the others from being loaded.

    Args:
        settings: of this installation.
        url: folder, object-store prefix or file, as fsspec reads it.
        format_name: a format that comes with the product, or the path of a .toml file.
        say: gets a line about every file and, in long ones, every few seconds.
        alone: refuse when other files are loaded already: one file is the whole shop.

    Raises:
        BadInput: there is no such place, format or file of events.
        Refused: files cannot be used or have changed, or the shop cannot be filled.
        TemporaryFailure: the database gave up; the same call goes on where it was.
    """
    layout = mapping.load(format_name).of_table("events")
    owner = shop.owner_url(settings)
    found, others, hidden = folders.find(url, settings.collect_options.get_secret_value())
    with postgres.changing(owner, "collect") as connection:
        if alone:
            _require_alone(connection, found[0].url)
        landing.prepare(connection)
    totals = Totals(Counter({"ignored": len(others) + hidden}))
    if others:
        more = ", …" if len(others) > MOST_NAMED else ""
        say(
            f"Passed over: {', '.join(others[:MOST_NAMED])}{more} ({len(others)} in all). "
            f"{folders.KINDS_SAID}"
        )
    for place, file in enumerate(found, 1):
        work = _Work(settings, file, url, layout, format_name, say, f"{place}/{len(found)}")
        try:
            totals.files[work.load(totals)] += 1
        except Refused as error:
            say(f"{work.label} refused: {error}")
            totals.problems.append(str(error))
    if totals.rows["loaded"]:
        with postgres.changing(owner, "collect") as connection:
            landing.analyze(connection)
    if totals.problems:
        say(totals.said())
    _require_all(totals, len(found))
    return totals


def _require_alone(connection: sa.Connection, url: str) -> None:
    if others := collected.others(connection, url):
        raise Refused(
            f"Another shop is loaded here ({', '.join(others)}). Remove it with `make clean`, or "
            "set INTENT_HOME to another folder for another shop. To add files to it, use "
            "`intent collect`."
        )


def _require_all(totals: Totals, count: int) -> None:
    problems = totals.problems
    if not problems:
        return
    if count == 1:
        raise BadInput(problems[0])
    more = f" And {len(problems) - MOST_NAMED} more." if len(problems) > MOST_NAMED else ""
    raise BadInput(
        f"{len(problems)} of {count} files cannot be used; the others are collected. "
        + " ".join(problems[:MOST_NAMED])
        + more
    )


@dataclass
class _Work:
    """One file on its way into the shop."""

    settings: Settings
    file: folders.File
    source: str
    layout: mapping.Format
    format_name: str
    say: Say
    place: str

    @property
    def label(self) -> str:
        return f"[{self.place}] {self.file.url}:"

    def load(self, totals: Totals) -> str:
        """Load what is not loaded yet, and return what became of the file."""
        with self._changing() as connection:
            known = collected.progress_of(connection, self.file.url)
        if known and known.state != collected.LOADING and known.is_of(self.file):
            return self._known(known, totals)
        digest = self.file.digest()
        progress = self._claim(digest)
        if progress is None:
            return self._known(known, totals)
        if progress.state == collected.COPY:
            return "copied"
        self._load(progress, totals)
        return "loaded"

    def _known(self, known: collected.Progress | None, totals: Totals) -> str:
        if known and known.format != self.format_name:
            totals.files["in another format"] += 1
        return "known"

    def _changing(self) -> AbstractContextManager[sa.Connection]:
        return postgres.changing(shop.owner_url(self.settings), "collect")

    def _claim(self, digest: str) -> collected.Progress | None:
        """Write into the ledger that the file is being loaded; None: there is nothing to load."""
        with self._changing() as connection:
            known = collected.progress_of(connection, self.file.url)
            begun = known and (known.state != collected.LOADING or known.blocks_done > 0)
            if known and begun and known.digest == digest:
                collected.touch(connection, self.file)
                return known if known.state == collected.LOADING else None
            if known and known.state == collected.LOADED and known.rows_loaded:
                raise collected.changed(self.file.url, known)
            if known:  # broken off in a file that was broken: from the beginning, as if never begun
                landing.forget(connection, known.file_id)
            original = collected.original_of(connection, self.file.url, digest)
            state = collected.COPY if original else collected.LOADING
            if original:
                self.say(f"{self.label} has the content of {original}; it is not loaded again.")
            return collected.begin(
                connection, self.file, self.source, self.format_name, digest, state
            )

    def _load(self, progress: collected.Progress, totals: Totals) -> None:
        begun = said = time.monotonic()
        suspected: Counter[str] = Counter()
        with self.file.opened() as opened:
            blocks = files.batches(
                opened,
                self.file.path,
                self.layout,
                progress.file_id,
                progress.last_row,
                datetime.now(UTC),
            )
            for batch in read_ahead(blocks):
                suspected.update(suspects.among(batch.events))
                self._require_usable(progress, batch)
                self._say_absent(progress, batch, totals.absent)
                before, progress = progress, self._load_block(progress, batch)
                for name in ("loaded", "repeated", "ignored", "quarantined"):
                    field_name = f"rows_{name}"
                    totals.rows[name] += getattr(progress, field_name) - getattr(before, field_name)
                if time.monotonic() - said > SAY_EVERY_SECONDS:
                    said = time.monotonic()
                    self.say(f"{self.label} {progress.rows_loaded:,} events so far")
        with self._changing() as connection:
            done = progress._replace(state=collected.LOADED)
            collected.advance(connection, self.file.url, progress, done)
        for text in suspects.warnings(suspected):
            self.say(f"{self.label} {text}")
        seconds = time.monotonic() - begun
        aside = f", {done.rows_quarantined:,} set aside" if done.rows_quarantined else ""
        self.say(f"{self.label} {done.rows_loaded:,} events{aside} in {seconds:.1f} s")

    def _load_block(self, before: collected.Progress, batch: files.Batch) -> collected.Progress:
        with self._changing() as connection:
            identity.hold_off_tombstones(connection)
            batch = _without_erased(self.settings, batch)
            known = before.rows_repeated > 0
            added = landing.append(
                connection, batch.events, expect_known=known, sources=batch.sources
            )
            landing.add_products(connection, batch.products)
            quarantine.add(connection, self.file.url, batch.bad)
            after = before._replace(
                blocks_done=before.blocks_done + 1,
                last_row=batch.last,
                rows_loaded=before.rows_loaded + added,
                rows_repeated=before.rows_repeated + batch.repeated + batch.events.num_rows - added,
                rows_ignored=before.rows_ignored + batch.ignored,
                rows_quarantined=before.rows_quarantined + len(batch.bad),
            )
            collected.advance(connection, self.file.url, before, after)
        return after

    def _say_absent(self, progress: collected.Progress, batch: files.Batch, said: set[str]) -> None:
        """Name the columns that stay empty, each once: a field may be called otherwise."""
        if progress.blocks_done == 0 and (new := [n for n in batch.absent if n not in said]):
            said.update(new)
            self.say(f"{self.label} no row of its first block has {', '.join(new)}: left empty.")

    def _require_usable(self, progress: collected.Progress, batch: files.Batch) -> None:
        """Refuse a file of whose first block too little can be used: it is in another format."""
        if progress.blocks_done:
            return
        if batch.events.num_rows + batch.repeated + batch.ignored == 0:
            raise files.no_usable_line(self.file.url, self.format_name, batch.bad)
        most = max(LEAST_LIMIT, self.settings.collect_quarantine_share * batch.judged)
        if len(batch.bad) > most:
            raise files.too_many_bad(self.file.url, batch)


def _without_erased(settings: Settings, batch: files.Batch) -> files.Batch:
    """Leave out the rows of erased customers: what is collected is ours to keep them out of."""
    named = [set(erased_rows.leaves(json.loads(row.payload))) for row in batch.bad]
    ids = batch.events["customer_id"].unique().to_pylist()
    gone = identity.erased_among(settings, {*ids, *(name for names in named for name in names)})
    if not gone:
        return batch
    theirs = pc.is_in(batch.events["customer_id"], value_set=pa.array(sorted(gone), pa.string()))
    events = batch.events.filter(pc.invert(theirs))
    sources = batch.sources.filter(pc.invert(theirs).combine_chunks())
    bad = [row for row, names in zip(batch.bad, named, strict=True) if not names & gone]
    left_out = batch.events.num_rows - events.num_rows + len(batch.bad) - len(bad)
    return replace(batch, events=events, sources=sources, bad=bad, ignored=batch.ignored + left_out)
