"""Tables that are only locked, so that nobody but the pipeline can hold off the pipeline.

An advisory lock is open to every role that may connect, and a reader who holds one stops whoever
needs it. A row or a table of schema `intent` can be locked by those roles alone that may write it.
"""

from sqlalchemy import Column, Table, Text

from intent_tasks.tables import intent_metadata

locks = Table(
    "locks",
    intent_metadata,
    Column("name", Text, primary_key=True, comment="what one transaction at a time may do"),
    comment="Locked row by row: one row for each work that must not overlap itself.",
)

tombstone_lock = Table(
    "tombstone_lock",
    intent_metadata,
    Column("no_rows", Text, comment="never written"),
    comment="Locked as a whole: shared by who reads tombstones, alone by who adds one.",
)
