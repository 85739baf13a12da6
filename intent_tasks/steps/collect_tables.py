"""Land files of products and customers in schema `shop`: each file in one transaction.

A later file replaces the values of its rows. No row is ever removed, so that no "no" is lost when a
later file has fewer rows.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.core.rules import BadRow
from intent_tasks.errors import BadInput
from intent_tasks.formats import mapping, readers, table_files
from intent_tasks.formats.columns import KEYS
from intent_tasks.formats.table_files import TableBatch
from intent_tasks.settings import Settings
from intent_tasks.stores import identity_keys, postgres, simulated_shop
from intent_tasks.stores.collecting import batches, discovery, file_ledger, landing, landing_tables
from intent_tasks.stores.collecting.file_loop import Counts, Report, label_files, load_each
from intent_tasks.stores.extracting import quarantine
from intent_tasks.stores.extracting.day_builder import LEAST_LIMIT

_BETWEEN_CELLS = re.compile(r"[,;|\t\"\0]")
"""Separators of the cells of a line that cannot be read and is stored whole."""
_ANSWERS = {"", "0", "1", "true", "false", "yes", "no", "t", "f", "y", "n"}
"""Cells that are answers of a customer; only the first cell of a line may be an id as well."""


@dataclass
class Totals(Counts):
    """Counts of one call with files of a table."""

    table: str = ""
    rereads: bool = False
    """True when a file is read once more, because its format changed: so are all later ones."""

    def summary(self) -> str:
        """Return the counts as a sentence."""
        return (
            f"{self.files['loaded']} files of {self.table} collected, {self.files['known']} known "
            f"before: {self.rows['loaded']:,} {self.table} loaded, {self.rows['repeated']:,} rows "
            f"were of one of them too, {self.rows['ignored']:,} of erased customers, "
            f"{self.rows['quarantined']:,} set aside in intent.quarantine."
        )


def collect_tables(
    settings: Settings, url: str, format_name: str, table: str, report: Report
) -> Totals:
    """Load the files of products or customers at and below a URL.

    Files that were loaded before come first, in that order, then new ones by name. When a format
    has changed, its files are read once more, and so are those that were loaded after them: so the
    newest file still counts.

    Args:
        settings: of this installation.
        url: folder, object-store prefix or file, as fsspec reads it.
        format_name: a format that comes with the product, or the path of a .toml file.
        table: products or customers.
        report: receives a line about every file.

    Raises:
        BadInput: there is no such place or format, or a file cannot be used; the others are loaded.
        Refused: the shop keeps the table itself.
    """
    format_name, layout = table_files.layout_of(format_name, table)
    owner = simulated_shop.owner_url(settings)
    found = discovery.find(url, settings.collect_options.get_secret_value()).files
    with postgres.changing(owner, "collect") as connection:
        landing.prepare(connection)
        landing_tables.require_collected(connection, table)
        known = file_ledger.list_files(connection, table)
    places = {file_url: place for place, file_url in enumerate(known)}
    found = sorted(found, key=lambda file: (places.get(file.url, len(known)), file.url))
    absent = set(known) - {file.url for file in found}
    loadings = []
    for file, label in label_files(found):
        after = known[places.get(file.url, len(known)) :]
        later = [other for other in after if other in absent]
        loadings.append(
            _TableLoad(settings, file, url, layout, format_name, table, report, label, later)
        )
    totals = Totals(table=table)
    load_each(loadings, totals, report)
    totals.require_all(len(found))
    return totals


@dataclass
class _TableLoad:
    """One file on its way into its table."""

    settings: Settings
    file: discovery.File
    source: str
    layout: mapping.Format
    format_name: str
    table: str
    report: Report
    label: str
    later: list[str]
    """Files that were loaded after this one, and are not collected now."""

    @property
    def url(self) -> str:
        """The address of the file."""
        return self.file.url

    def load(self, totals: Totals) -> str:
        """Load the file in one transaction, and return its outcome."""
        with postgres.changing(simulated_shop.owner_url(self.settings), "collect") as connection:
            return self._load(connection, totals)

    def _load(self, connection: sa.Connection, totals: Totals) -> str:
        digest = self.file.digest()
        known = file_ledger.read_progress(connection, self.file.url)
        if known and (known.digest, known.table_name) == (digest, self.table):
            if not self._must_reread(connection, known, totals):
                return "known"
            totals.rereads = True
        identity_keys.hold_off_tombstones(connection)
        begun = file_ledger.begin(
            connection, self.file, self.source, self.format_name, digest,
            file_ledger.LOADING, table=self.table, format_digest=self.layout.digest(),
        )  # fmt: skip
        seen, unclear = _Seen(), set[str]()
        with landing_tables.gather_rows(connection, self.table) as rows:
            for batch in self._batches(seen):
                rows.add(batch.rows)
                quarantine.add(connection, self.file.url, batch.bad)
                unclear |= self._find_customers(batch.bad)
            self._require_usable(seen)
            loaded = rows.merge()
        if unclear:
            count = landing_tables.withdraw_consent(connection, unclear)
            self.report(
                f"{self.label} {count:,} customers whose rows cannot be used agree to nothing "
                "until a row of them can be read."
            )
        done = begun._replace(
            state=file_ledger.LOADED,
            blocks_done=1,
            rows_loaded=loaded,
            rows_repeated=seen.rows["usable"] - loaded,
            rows_ignored=seen.rows["ignored"],
            rows_quarantined=seen.rows["quarantined"],
        )
        file_ledger.advance(connection, self.file.url, begun, done)
        for name in ("loaded", "repeated", "ignored", "quarantined"):
            totals.rows[name] += getattr(done, f"rows_{name}")
        self._report_missing(seen)
        self.report(f"{self.label} {loaded:,} {self.table}")
        return "loaded"

    def _must_reread(
        self, connection: sa.Connection, known: file_ledger.Progress, totals: Totals
    ) -> bool:
        """Return whether to load a file with known content once more."""
        digest = self.layout.digest()
        if not known.format_digest:
            file_ledger.set_format_digest(connection, self.file.url, digest)
        is_same_format = known.format == self.format_name and known.format_digest in ("", digest)
        if is_same_format and not totals.rereads:
            return False
        if self.later:
            self.report(
                f"{self.label} the format has changed, but the file stays as it was read: "
                f"{self.later[0]} was collected after it and is not here. Collect both in one "
                "call, or a copy under another name, which then counts as the newest file."
            )
        return not self.later

    def _batches(self, seen: "_Seen") -> Iterator[TableBatch]:
        """Yield the rows of the file, without erased customers."""
        with readers.naming_file(self.file.url), self.file.opened() as opened:
            for whole in table_files.batches(opened, self.file.path, self.layout):
                batch, left_out = self._without_erased(whole)
                seen.add(batch, left_out)
                yield batch

    def _without_erased(self, batch: TableBatch) -> tuple[TableBatch, int]:
        if self.table != "customers":
            return batch, 0
        names_of = [batches.find_names(row) for row in batch.bad]
        ids = batch.rows[KEYS[self.table]].combine_chunks()
        erased = identity_keys.find_erased(
            self.settings, {*ids.to_pylist(), *(name for names in names_of for name in names)}
        )
        is_erased = pc.is_in(ids, value_set=pa.array(sorted(erased), pa.string()))
        rows = batch.rows.filter(pc.invert(is_erased))
        bad = [row for row, names in zip(batch.bad, names_of, strict=True) if not names & erased]
        left_out = batch.rows.num_rows - rows.num_rows + len(batch.bad) - len(bad)
        return TableBatch(rows, bad, batch.unreadable, batch.absent), left_out

    def _find_customers(self, bad: list[BadRow]) -> set[str]:
        """Return the customers that unusable rows may be about."""
        if self.table != "customers":
            return set()
        texts = (text for row in bad for text in batches.find_names(row))
        cells = [[cell.strip() for cell in _BETWEEN_CELLS.split(text)] for text in texts]
        return {
            cell for row in cells for n, cell in enumerate(row) if n == 0 or cell not in _ANSWERS
        }

    def _require_usable(self, seen: "_Seen") -> None:
        """Refuse a file of which too little can be used: its format is wrong."""
        usable, bad = seen.rows["usable"], seen.rows["quarantined"]
        most = max(LEAST_LIMIT, self.settings.collect_quarantine_share * (usable + bad))
        if seen.bad and (not usable or bad > most):
            raise BadInput(
                f"{self.file.url}: {bad:,} rows cannot be used, first that in line "
                f"{seen.bad.number}: {seen.bad.rule}. Nothing of it was loaded. Mend the format "
                "or the file: docs/collect.md."
            )

    def _report_missing(self, seen: "_Seen") -> None:
        """Report values and columns that the file lacks, and the consequence."""
        for name, count in seen.unreadable.items():
            self.report(
                f"{self.label} {count:,} values of {name} cannot be read: {_describe_default(name)}"
            )
        if absent := sorted(seen.absent or ()):
            self.report(f"{self.label} no row has {', '.join(absent)}.")
        filled = {name for shape in self.layout.shapes for name in shape.filled[self.table]}
        lacking = [n for n in table_files.CONSENTS if n not in filled - (seen.absent or set())]
        if lacking and self.table == "customers":
            self.report(
                f"{self.label} a customer who is new here has no {' and no '.join(lacking)}: "
                "that counts as a no."
            )


def _describe_default(name: str) -> str:
    if name in table_files.CONSENTS:
        return "each counts as a no."
    return "each counts as a yes." if name == "suppressed" else "left empty."


class _Seen:
    """Counts of a file so far: rows by outcome, and unreadable values."""

    def __init__(self) -> None:
        self.rows: Counter[str] = Counter()
        self.unreadable: Counter[str] = Counter()
        self.absent: set[str] | None = None
        self.bad: BadRow | None = None

    def add(self, batch: TableBatch, left_out: int) -> None:
        """Count a batch, and the rows of erased customers that were removed from it."""
        self.rows.update(usable=batch.rows.num_rows, ignored=left_out, quarantined=len(batch.bad))
        self.unreadable.update(batch.unreadable)
        absent = set(batch.absent)
        self.absent = absent if self.absent is None else self.absent & absent
        self.bad = self.bad or next(iter(batch.bad), None)
