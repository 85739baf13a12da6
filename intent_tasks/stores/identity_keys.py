"""Customer keys, the check of the identity key, and the search for erased customers.

Outside Postgres a customer is a keyed HMAC of their id. `intent.customer_keys` holds the pairs, all
made with one key. A tombstone in `intent.erasures` cannot be computed with a new key, because its
id is unknown. So it keeps the name of its key, and ids are compared under every key that has
tombstones.
"""

from collections.abc import Iterable
from contextlib import nullcontext

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.core.identity import customer_keys as keys_of
from intent_tasks.errors import Refused
from intent_tasks.lock_tables import tombstone_lock
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.tables import customer_keys, erasures

MAX_CACHED_KEYS = 300_000
"""Maximum number of keys in memory, about 80 MB."""

_SHARED = f"LOCK TABLE {tombstone_lock.fullname} IN ROW EXCLUSIVE MODE"
_ALONE = f"LOCK TABLE {tombstone_lock.fullname} IN SHARE ROW EXCLUSIVE MODE"


def keys(settings: Settings, ids: Iterable[str], key_id: str | None = None) -> pa.Array:
    """Return the customer_key of each id, under the present key or an earlier one."""
    secret = _keyring(settings)[key_id or settings.identity_key_id]
    return pa.array(keys_of(list(ids), secret).tolist(), pa.string())


class Keys:
    """A cache of customer_keys, because computing one takes some microseconds.

    Args:
        settings: of this installation.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cache: dict[str, dict[str, str]] = {}

    def of(self, ids: list[str], key_id: str | None = None) -> pa.Array:
        """Return the customer_key of each id, as `keys` does."""
        if sum(map(len, self._cache.values())) > MAX_CACHED_KEYS:
            self._cache = {}
        cache = self._cache.setdefault(key_id or self._settings.identity_key_id, {})
        new = [name for name in ids if name not in cache]
        cache.update(zip(new, keys(self._settings, new, key_id).to_pylist(), strict=True))
        return pa.array([cache[name] for name in ids], pa.string())


def check_key(settings: Settings, connection: sa.Connection | None = None) -> None:
    """Check that the key of the settings is the key of the data.

    With another key every customer would be a new one, without consent, tombstone and scores.

    Args:
        settings: of this installation.
        connection: a transaction that has read the tombstones; a rotation waits for its end.

    Raises:
        Refused: it is another key; nothing was written.
    """
    query = sa.select(customer_keys).order_by(customer_keys.c.customer_id).limit(1)
    with nullcontext(connection) if connection else postgres.reading(settings.pipeline_url) as c:
        row = c.execute(query).one_or_none()
    if row is None:
        return
    if row.key_id != settings.identity_key_id:
        raise Refused(
            f"The data is keyed with {row.key_id!r}, but INTENT_IDENTITY_KEY_ID is "
            f"{settings.identity_key_id!r}. Nothing was written. Put {row.key_id!r} into "
            "INTENT_PREVIOUS_IDENTITY_KEYS and run `intent rotate-key`, or set the old key again."
        )
    if keys(settings, [row.customer_id])[0].as_py() != row.customer_key:
        raise Refused(
            f"INTENT_IDENTITY_KEY is not the key {row.key_id!r} that the data is keyed with. "
            "Nothing was written. Set the old key again; to change it, name the new one in "
            "INTENT_IDENTITY_KEY_ID, put the old one into INTENT_PREVIOUS_IDENTITY_KEYS and run "
            "`intent rotate-key`."
        )


def hold_off_tombstones(connection: sa.Connection) -> None:
    """Make new tombstones wait until this transaction has ended."""
    connection.exec_driver_sql(_SHARED)


def find_erased(settings: Settings, ids: Iterable[str]) -> set[str]:
    """Return the ids of erased customers.

    Raises:
        Refused: there are tombstones of a key that is not in the settings.
    """
    distinct = pa.chunked_array([pa.array(set(ids), pa.string())])
    with postgres.reading(settings.pipeline_url) as connection:
        return set(distinct.filter(are_erased(connection, settings, distinct)).to_pylist())


def tombstones(connection: sa.Connection) -> dict[str, pa.Array]:
    """Return the erased customer_keys by the name of their key.

    A new tombstone waits until the caller's transaction has ended, so that it writes no customer
    who is being erased.
    """
    hold_off_tombstones(connection)
    query = sa.select(erasures.c.key_id, erasures.c.customer_key)
    by_key_id: dict[str, list[str]] = {}
    for key_id, key in connection.execute(query.order_by(*query.selected_columns)):
        by_key_id.setdefault(key_id, []).append(key)
    return {key_id: pa.array(erased, pa.string()) for key_id, erased in by_key_id.items()}


def before_new_tombstones(connection: sa.Connection) -> None:
    """Wait for transactions that have read the tombstones, and hold off new ones."""
    connection.exec_driver_sql(_ALONE)


def are_erased(
    connection: sa.Connection,
    settings: Settings,
    ids: pa.ChunkedArray,
    cache: Keys | None = None,
) -> pa.Array:
    """Return for each row whether its customer is erased; a null is not.

    Args:
        connection: a transaction for whose end new tombstones wait.
        settings: of this installation.
        ids: customer_id of each row.
        cache: cache of keys.

    Raises:
        Refused: there are tombstones of a key that is not in the settings.
    """
    erased = tombstones(connection)
    if unknown := sorted(erased.keys() - _keyring(settings).keys()):
        raise Refused(
            f"intent.erasures holds tombstones of the key {', '.join(unknown)}, which is not in "
            "INTENT_PREVIOUS_IDENTITY_KEYS: erased customers could come back. Add it there."
        )
    if not erased:
        return pa.chunked_array([pa.repeat(pa.scalar(False), len(ids))])
    names = pc.unique(ids).drop_null()
    is_erased = pa.array([False] * len(names), pa.bool_())
    cache = cache or Keys(settings)
    for key_id, erased_keys in erased.items():
        has_tombstone = pc.is_in(cache.of(names.to_pylist(), key_id), value_set=erased_keys)
        is_erased = pc.or_(is_erased, has_tombstone)
    return pc.is_in(ids, value_set=names.filter(is_erased))


def _keyring(settings: Settings) -> dict[str, bytes]:
    ring = settings.previous_identity_keys | {settings.identity_key_id: settings.identity_key}
    return {name: key.get_secret_value().encode() for name, key in ring.items()}
