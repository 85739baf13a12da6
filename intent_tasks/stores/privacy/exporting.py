"""Export lists of customers who agreed to a purpose, to files that the ledger of exports names."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet
import sqlalchemy as sa

from intent_tasks.definition import BANDS, HORIZONS_DAYS
from intent_tasks.errors import BadInput, Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import atomic_files, identity_keys, postgres, simulated_shop
from intent_tasks.stores.privacy import consent, consent_record
from intent_tasks.tables import customers, exports, predictions

KINDS = (".csv", ".parquet")

COLUMNS = (
    "as_of_date",
    "customer_id",
    *(f"probability_{h}d" for h in HORIZONS_DAYS),
    "band",
    "reason",
    "model_version",
)
"""Columns of `intent.predictions` in a list."""


_SIGNS = r"=+\-@\t\r\x{ff1d}\x{ff0b}\x{ff0d}\x{ff20}\x{fe62}\x{fe63}\x{fe66}\x{fe6b}\x{2212}"
"""Characters with which a formula begins, also in full width."""

_BLANKS = r"[\s\pZ\pC\"']*"
"""White space, invisible characters and quotation marks."""

_FORMULAS = (
    (rf"^({_BLANKS}[{_SIGNS}])", r"'\1"),
    (rf"([;|\t\r\n]{_BLANKS})([{_SIGNS}])", r"\1'\2"),
)
"""Patterns of a cell, or of a part that a spreadsheet may split off, that begins like a formula."""

_NUMBER = r"^[+-]?[0-9]+([.,][0-9]+)?([eE][+-]?[0-9]+)?$"


@dataclass(frozen=True)
class List:
    """The list to export.

    Args:
        as_of_date: shop day of the predictions.
        purpose: purpose to which the customers must have agreed.
        band: the only band; None: all.
        to: new file; a relative name is below INTENT_HOME/exports.
        by: name of the person who exports it.
        raw: write texts of a CSV unchanged, for machines; otherwise no text can be a formula.
    """

    as_of_date: date
    purpose: str
    band: str | None
    to: Path
    by: str
    raw: bool = False


@dataclass(frozen=True)
class Exported:
    """The file, its number of customers, and the number without consent."""

    path: Path
    customers: int
    without_consent: int


def export(settings: Settings, wanted: List) -> Exported:
    """Export the customers whom the champion predicted and who agree at this moment.

    The ledger names the file before it is written, so that an erasure always finds it.

    Raises:
        BadInput: the band, the file or the day does not exist or is not allowed.
        Refused: the shop does not record this consent, or too many of the predicted customers have
            no row any more.
    """
    identity_keys.check_key(settings)
    path = _path(settings, wanted)
    _read_consent(settings, wanted)  # before the ledger names a file that is never written
    export_id = _announce(settings, wanted, path)
    # An erasure takes the same lock, so it finds the whole file or none.
    with postgres.changing(settings.pipeline_url, "export") as connection:
        rows = _rows(connection, settings, wanted)
        answers = _read_consent(settings, wanted)
        _require_rows(rows, answers, wanted)
        agreed = rows.filter(pc.is_in(rows["customer_id"], value_set=answers.yes))
        exported = Exported(path, agreed.num_rows, rows.num_rows - agreed.num_rows)
        _write(path, agreed if wanted.raw else without_formulas(agreed))
        connection.execute(
            sa.update(exports)
            .where(exports.c.export_id == export_id)
            .values(
                customer_count=exported.customers, without_consent_count=exported.without_consent
            )
        )
    return exported


def _read_consent(settings: Settings, wanted: List) -> consent.Consent:
    answers = consent.read(settings, wanted.purpose)
    if not answers.is_recorded and _customers_were_never_loaded(settings):
        raise Refused(
            f"{customers.fullname} was made here and is empty: who agreed to {wanted.purpose} is "
            "not known, so nobody may be on a list. Load the customers: `intent collect URL "
            "--table customers` (docs/collect.md)."
        )
    if not answers.is_recorded:
        raise Refused(
            f"{customers.fullname} has no column consent_{wanted.purpose}: who agreed is not "
            "known, so nobody may be on a list. Add the column, true for a yes."
        )
    return answers


def _customers_were_never_loaded(settings: Settings) -> bool:
    with postgres.reading(settings.shop_url) as connection:
        return simulated_shop.is_unused(connection, customers)


def _require_rows(rows: pa.Table, answers: consent.Consent, wanted: List) -> None:
    """Check that most of the predicted customers have a row in `shop.customers`."""
    with_row = pc.sum(pc.is_in(rows["customer_id"], value_set=answers.with_row)).as_py() or 0
    consent_record.require_rows(rows.num_rows, with_row, f"predicted for {wanted.as_of_date}")


def _path(settings: Settings, wanted: List) -> Path:
    if wanted.band is not None and wanted.band not in BANDS:
        raise BadInput(f"There is no band {wanted.band!r}; bands: {', '.join(BANDS)}.")
    path = (settings.home / "exports" / wanted.to).resolve()
    if path.suffix.lower() not in KINDS:
        raise BadInput(f"{wanted.to} is neither .csv nor .parquet.")
    if path.exists():
        raise BadInput(f"{path} is there already; name a new file.")
    if not wanted.to.is_absolute():
        atomic_files.private_folder(path.parent)
    if not path.parent.is_dir():
        raise BadInput(f"There is no folder {path.parent}; make it, or name a file without one.")
    return path


def _announce(settings: Settings, wanted: List, path: Path) -> int:
    values = {
        "as_of_date": wanted.as_of_date,
        "purpose": wanted.purpose,
        "band": wanted.band,
        "path": str(path),
        "exported_by": wanted.by,
        "exported_at": datetime.now(UTC),
    }
    with postgres.changing(settings.pipeline_url, "export") as connection:
        _require_day(connection, wanted.as_of_date)
        insert = sa.insert(exports).values(values).returning(exports.c.export_id)
        return int(connection.execute(insert).scalar_one())


def _require_day(connection: sa.Connection, day: date) -> None:
    newest = sa.select(sa.func.max(predictions.c.as_of_date))
    if connection.scalar(newest.where(predictions.c.as_of_date == day)) is None:
        newest_day = connection.scalar(newest)
        raise BadInput(
            f"Nothing is predicted for {day}. "
            + (
                f"The newest predicted day is {newest_day}."
                if newest_day
                else "No day is predicted yet."
            )
        )


def _rows(connection: sa.Connection, settings: Settings, wanted: List) -> pa.Table:
    """Return the champion's predictions of customers who are not erased, by probability."""
    query = sa.select(*(predictions.c[name] for name in COLUMNS)).where(
        predictions.c.as_of_date == wanted.as_of_date, predictions.c.role == "champion"
    )
    if wanted.band is not None:
        query = query.where(predictions.c.band == wanted.band)
    query = query.order_by(predictions.c.probability_7d.desc(), predictions.c.customer_id)
    with postgres.arrow(settings.pipeline_url, query) as reader:
        rows = reader.read_all()
    is_erased = identity_keys.are_erased(connection, settings, rows["customer_id"])
    return rows.filter(pc.invert(is_erased))


def without_formulas(rows: pa.Table) -> pa.Table:
    """Put an apostrophe before each text that a spreadsheet would take for a formula.

    Numbers, also those in texts, stay unchanged.
    """
    for position, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            texts = rows[field.name]
            safe = texts
            for pattern, with_apostrophe in _FORMULAS:
                safe = pc.replace_substring_regex(safe, pattern, with_apostrophe)
            is_number = pc.match_substring_regex(texts, _NUMBER)
            rows = rows.set_column(position, field.name, pc.if_else(is_number, texts, safe))
    return rows


def _write(path: Path, rows: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    if path.suffix.lower() == ".csv":
        pa.csv.write_csv(rows, sink)
    else:
        pa.parquet.write_table(rows, sink)
    atomic_files.replace(path, bytes(sink.getvalue()))
