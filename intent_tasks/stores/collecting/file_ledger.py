"""Ledger of collected files: the progress of each, written in the transaction that loads it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from intent_tasks.errors import TemporaryFailure
from intent_tasks.redaction import redact_address
from intent_tasks.stores.collecting.discovery import File
from intent_tasks.stores.extracting import quarantine
from intent_tasks.tables import collected_files

ID_CHARACTERS = 12
"""Length of the prefix of event ids, from the checksum of the file, where the source has none."""

LOADING, LOADED, COPY = "loading", "loaded", "copy"

EVENTS = "events"
"""The table that most files fill."""


class Progress(NamedTuple):
    """Progress of loading a file: a row of the ledger."""

    state: str
    format: str
    digest: str
    size_bytes: int
    version: str
    blocks_done: int
    last_row: int
    rows_loaded: int
    rows_repeated: int
    rows_ignored: int
    rows_quarantined: int
    rows_read: int
    rows_gone: int
    values_unreadable: dict[str, int]
    earlier_digests: list[str]
    table_name: str
    format_digest: str

    @property
    def file_id(self) -> str:
        """Prefix of the ids of its events where the source has none."""
        return self.digest[:ID_CHARACTERS]

    @property
    def earlier_ids(self) -> list[str]:
        """Prefixes of the ids of events of its earlier contents."""
        return [digest[:ID_CHARACTERS] for digest in self.earlier_digests]

    @property
    def events(self) -> int:
        """Number of events of its content, new and repeated ones."""
        return self.rows_loaded + self.rows_repeated

    def is_of(self, file: File) -> bool:
        """Return whether the store shows that the file has not changed since."""
        return bool(file.version) and (self.size_bytes, self.version) == (
            file.size_bytes,
            file.version,
        )


_PROGRESS = [collected_files.c[name] for name in Progress._fields]
_EVENTS_OF = collected_files.c.rows_loaded + collected_files.c.rows_repeated


def read_progress(connection: sa.Connection, url: str) -> Progress | None:
    """Return the progress of a file; None when it was never begun."""
    row = connection.execute(
        sa.select(*_PROGRESS).where(collected_files.c.path == url)
    ).one_or_none()
    return None if row is None else Progress(*row)


def read_formats(connection: sa.Connection, urls: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return the name of the format and the file_id of each collected file of events."""
    query = sa.select(collected_files.c.path, collected_files.c.format, collected_files.c.digest)
    is_of_events = collected_files.c.table_name == EVENTS
    found = connection.execute(query.where(collected_files.c.path.in_(set(urls)), is_of_events))
    return {path: (name, digest[:ID_CHARACTERS]) for path, name, digest in found}


def list_files(connection: sa.Connection, table: str) -> dict[str, datetime]:
    """Return the address of each file that filled a table, and when the call that did so began."""
    columns = collected_files.c
    query = sa.select(columns.path, columns.started_at)
    query = query.where(columns.table_name == table, columns.state == LOADED)
    return {row.path: row.started_at for row in connection.execute(query)}


def find_collected(connection: sa.Connection, table: str, digest: str) -> str | None:
    """Return a file of a table that has this content, or had it before."""
    columns = collected_files.c
    has = sa.and_(columns.digest == digest, columns.state == LOADED)
    query = sa.select(columns.path).where(
        columns.table_name == table,
        sa.or_(has, sa.literal(digest) == sa.any_(columns.earlier_digests)),
    )
    return connection.scalars(query.order_by("path").limit(1)).first()


def set_format_digest(connection: sa.Connection, url: str, digest: str) -> None:
    """Write the checksum of the format of a file whose ledger row has none."""
    update = sa.update(collected_files).where(collected_files.c.path == url)
    connection.execute(update.values(format_digest=digest))


def list_other_files(connection: sa.Connection, url: str) -> list[str]:
    """Return up to three other files with loaded events."""
    is_other = sa.and_(
        collected_files.c.path != url, _EVENTS_OF > 0, collected_files.c.table_name == EVENTS
    )
    return list(connection.scalars(sa.select(collected_files.c.path).where(is_other).limit(3)))


def read_unreadable(connection: sa.Connection) -> dict[str, dict[str, int]]:
    """Return column → number of unreadable values, for each file with some."""
    query = sa.select(collected_files.c.path, collected_files.c.values_unreadable).where(
        collected_files.c.values_unreadable != {}
    )
    return {row.path: row.values_unreadable for row in connection.execute(query.order_by("path"))}


def find_original(connection: sa.Connection, url: str, digest: str) -> str | None:
    """Return a loaded file of another name with the same content; None when there is none."""
    query = sa.select(collected_files.c.path).where(
        collected_files.c.digest == digest,
        collected_files.c.path != url,
        collected_files.c.state == LOADED,
        _EVENTS_OF > 0,
        collected_files.c.table_name == EVENTS,
    )
    return connection.scalars(query.order_by("path").limit(1)).first()


def select_table_files(connection: sa.Connection, urls: Iterable[str]) -> set[str]:
    """Return those files that are of products or customers."""
    query = sa.select(collected_files.c.path).where(collected_files.c.table_name != EVENTS)
    return set(connection.scalars(query.where(collected_files.c.path.in_(set(urls)))))


def begin(
    connection: sa.Connection,
    file: File,
    source: str,
    layout: str,
    digest: str,
    state: str,
    known: Progress | None = None,
    table: str = EVENTS,
    format_digest: str = "",
    started_at: datetime | None = None,
) -> Progress:
    """Begin to load a content of a file, and return its progress.

    Args:
        connection: an open transaction of the shop's owner.
        file: on its way into the shop.
        source: folder or prefix that is collected.
        layout: name of its format.
        digest: of its content.
        state: its first state.
        known: the progress of its earlier content.
        table: table that it fills.
        format_digest: SHA-256 of its format.
        started_at: beginning of the call that loaded this content first; None: now.
    """
    now = datetime.now(UTC)
    quarantine.keep_decided(connection, file.url)
    earlier = list(known.earlier_digests) if known else []
    was_loaded = known is not None and known.state == LOADED and known.events > 0
    if known and was_loaded and known.digest != digest:
        earlier.append(known.digest)
    values: dict[str, Any] = {
        "source": redact_address(source), "format": layout, "size_bytes": file.size_bytes,
        "version": file.version, "digest": digest, "state": state, "blocks_done": 0,
        "last_row": 0, "rows_loaded": 0, "rows_repeated": 0, "rows_ignored": 0,
        "rows_quarantined": 0, "rows_read": 0, "values_unreadable": {},
        "rows_gone": _count_missing(known, was_loaded=was_loaded) if table == EVENTS else 0,
        "earlier_digests": earlier, "started_at": started_at or now, "changed_at": now,
        "table_name": table,
        "format_digest": format_digest,
    }  # fmt: skip
    insert = postgresql.insert(collected_files).values(path=file.url, **values)
    connection.execute(insert.on_conflict_do_update(index_elements=["path"], set_=values))
    return Progress(**{name: values[name] for name in Progress._fields})


def _count_missing(known: Progress | None, *, was_loaded: bool) -> int:
    if known is None:
        return 0
    return known.events if was_loaded else known.rows_gone


def advance(connection: sa.Connection, url: str, before: Progress, after: Progress) -> None:
    """Write the progress of a file, if no other run has changed it.

    Raises:
        TemporaryFailure: another run loads the file at the same time.
    """
    moved = connection.execute(
        sa.update(collected_files)
        .where(
            collected_files.c.path == url,
            collected_files.c.digest == before.digest,
            collected_files.c.blocks_done == before.blocks_done,
            collected_files.c.state == LOADING,
        )
        .values(**after._asdict(), changed_at=datetime.now(UTC))
    )
    if moved.rowcount != 1:
        raise TemporaryFailure(f"Another run collects {url}. Try again when it has ended.")


def touch(connection: sa.Connection, file: File) -> None:
    """Write the new version of a file whose content has not changed."""
    connection.execute(
        sa.update(collected_files)
        .where(collected_files.c.path == file.url)
        .values(version=file.version, size_bytes=file.size_bytes)
    )
