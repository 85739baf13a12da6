"""Who may be predicted and who may be put on a list, by what `shop.customers` says right now.

The rule, here and nowhere else. A customer says *yes* to a purpose when the column of that purpose
is true and `suppressed` is not. A row that says anything else (false, null, or suppressed) says
*no*, and of several rows any no counts. A shop whose `shop.customers` has any of these columns
records consent: there, who has no row said no yes. Where it records none, nothing is known.

- Predicting (`consent_personalisation`) takes who says yes, or everybody where no consent is
  recorded, and so does learning.
- A list for people takes only who says yes.
"""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.stores.privacy import consent_record
from intent_tasks.stores.privacy.consent_record import PURPOSES
from intent_tasks.tables import customer_keys, customers

NOBODY = pa.array([], pa.string())


class Consent(NamedTuple):
    """What customers say, as customer_ids, each once.

    Args:
        allowed: who has a row and does not say no; None: everybody, no consent is recorded at all.
        no: who says no.
        with_row: who has a row.
        is_recorded: whether the shop has the column of the purpose.
    """

    allowed: pa.Array | None
    no: pa.Array
    with_row: pa.Array
    is_recorded: bool

    @property
    def yes(self) -> pa.Array:
        """Return who says yes."""
        return NOBODY if self.allowed is None or not self.is_recorded else self.allowed


def read(settings: Settings, purpose: str) -> Consent:
    """Return what customers say to a purpose at this moment.

    Raises:
        BadInput: there is no such purpose.
        Refused: a column is no boolean or is gone, the table may not be read, or most of its rows
            are gone since the contract was checked.
    """
    if purpose not in PURPOSES:
        raise BadInput(f"There is no purpose {purpose!r}; purposes: {', '.join(PURPOSES)}.")
    columns = consent_record.columns_of(settings)
    if not columns:
        return Consent(None, NOBODY, NOBODY, False)
    with postgres.reading(settings.shop_url) as connection:
        customer_id = consent_record.customer_id(connection, customers)
    query = sa.select(
        customer_id,
        consent_record.says_yes(purpose, columns).label("yes"),
    ).where(customers.c.customer_id.is_not(None))
    with postgres.arrow(settings.shop_url, query) as reader:
        rows = reader.read_all().combine_chunks()
    no = pc.unique(rows["customer_id"].filter(pc.invert(rows["yes"])))
    with_row = pc.unique(rows["customer_id"])
    allowed = with_row.filter(pc.invert(pc.is_in(with_row, value_set=no)))
    consent_record.require_kept(settings, purpose, len(with_row), len(allowed))
    return Consent(allowed, no, with_row, f"consent_{purpose}" in columns)


class Known(NamedTuple):
    """The customer_keys of known customers: of those who may be predicted, may not, and have a row.

    None: of everybody, as the shop records no consent.
    """

    allowed: pa.Array | None
    refused: pa.Array
    with_row: pa.Array | None

    def are_allowed(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return which keys are of customers who may be predicted."""
        return _are_in(keys, self.allowed)

    def are_refused(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return which keys are of customers who may not be predicted."""
        return _are_in(keys, self.refused)

    def have_row(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return which keys are of customers who have a row."""
        return _are_in(keys, self.with_row)


def keys(settings: Settings) -> Known:
    """Return the customer_keys of everybody who may be predicted at this moment.

    The role that writes predictions may not read schema `shop`: the ids are read as the extract
    reads them, and leave this function as keys only. A key that is not of a known customer is of
    nobody who said yes.
    """
    said = read(settings, "personalisation")
    if said.allowed is None:
        return Known(None, NOBODY, None)
    query = sa.select(customer_keys.c.customer_id, customer_keys.c.customer_key)
    with postgres.arrow(settings.pipeline_url, query) as reader:
        pairs = reader.read_all()
    allowed = _keys_of(pairs, said.allowed)
    refused = pairs["customer_key"].filter(pc.invert(_are_in(pairs["customer_key"], allowed)))
    return Known(allowed, pc.unique(refused), _keys_of(pairs, said.with_row))


class Learnable:
    """What may be learned from: the events of everybody but some, who are counted.

    Args:
        allowed: customer_keys of those who are learned from; None: everybody.
    """

    def __init__(self, allowed: pa.Array | None) -> None:
        self._allowed = allowed
        self._left_out: set[str] = set()

    @property
    def left_out(self) -> int:
        """Customers who had events and were left out so far."""
        return len(self._left_out)

    def of(self, events: pa.Table) -> pa.Table:
        """Return the events that may be learned from."""
        theirs = _are_in(events["customer_key"], self._allowed)
        others = events["customer_key"].filter(pc.invert(theirs))
        self._left_out.update(others.unique().to_pylist())
        return events.filter(theirs)


def learnable(settings: Settings) -> Learnable:
    """Return who may be learned from at this moment, as the settings say."""
    return Learnable(None if settings.learn_without_consent else keys(settings).allowed)


def _are_in(values: pa.ChunkedArray, allowed: pa.Array | None) -> pa.ChunkedArray:
    if allowed is None:
        return pc.is_valid(values)
    return pc.is_in(values, value_set=allowed)


def _keys_of(pairs: pa.Table, ids: pa.Array) -> pa.Array:
    found = pairs["customer_key"].filter(pc.is_in(pairs["customer_id"], value_set=ids))
    return pc.unique(found)
