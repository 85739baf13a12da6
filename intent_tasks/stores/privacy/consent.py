"""Consent: which customers may be predicted, learned from and listed, by `shop.customers` now.

The rule, in this module only. A row is a *yes* to a purpose when the column of the purpose is true
and `suppressed` is not. Any other row (false, null or suppressed) is a *no*, and one no among
several rows of a customer counts. A shop whose `shop.customers` has any of these columns records
consent; there, a customer without a row has not said yes. In any other shop consent is unknown.

- Predictions and training (`consent_personalisation`) use the customers who say yes, and all
  customers where the shop records no consent.
- A list for people holds only customers who say yes.
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
    """The answers of customers to one purpose, as customer_ids, each once.

    Args:
        allowed: customers with a row and without a no; None: all, the shop records no consent.
        no: customers who say no.
        with_row: customers with a row.
        is_recorded: whether the shop has the column of the purpose.
    """

    allowed: pa.Array | None
    no: pa.Array
    with_row: pa.Array
    is_recorded: bool

    @property
    def yes(self) -> pa.Array:
        """Return the customers who say yes."""
        return NOBODY if self.allowed is None or not self.is_recorded else self.allowed


def read(settings: Settings, purpose: str) -> Consent:
    """Read the answers of customers to a purpose at this moment.

    Raises:
        BadInput: there is no such purpose.
        Refused: a column is not a boolean or is missing, the table may not be read, or the record
            has changed too much since the contract was checked.
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


class ConsentKeys(NamedTuple):
    """The customer_keys of customers who may be predicted, who may not, and who have a row.

    None stands for all customers of a shop that records no consent.
    """

    allowed: pa.Array | None
    refused: pa.Array
    with_row: pa.Array | None

    def are_allowed(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return for each key whether the customer may be predicted."""
        return _are_in(keys, self.allowed)

    def are_refused(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return for each key whether the customer may not be predicted."""
        return _are_in(keys, self.refused)

    def have_row(self, keys: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return for each key whether the customer has a row."""
        return _are_in(keys, self.with_row)


def keys(settings: Settings) -> ConsentKeys:
    """Read the customer_keys of the customers who may be predicted at this moment.

    The role that writes predictions may not read schema `shop`. So the extract role reads the ids,
    and this function returns keys only. An unknown key is not allowed.
    """
    consent = read(settings, "personalisation")
    if consent.allowed is None:
        return ConsentKeys(None, NOBODY, None)
    query = sa.select(customer_keys.c.customer_id, customer_keys.c.customer_key)
    with postgres.arrow(settings.pipeline_url, query) as reader:
        pairs = reader.read_all()
    allowed = _keys_of(pairs, consent.allowed)
    refused = pairs["customer_key"].filter(pc.invert(_are_in(pairs["customer_key"], allowed)))
    return ConsentKeys(allowed, pc.unique(refused), _keys_of(pairs, consent.with_row))


class Learnable:
    """Filters events by the consent to learn from them, and counts the customers left out.

    Args:
        allowed: customer_keys whose events may be learned from; None: all.
    """

    def __init__(self, allowed: pa.Array | None) -> None:
        self._allowed = allowed
        self._left_out: set[str] = set()

    @property
    def left_out(self) -> int:
        """Return how many customers with events were left out so far."""
        return len(self._left_out)

    def of(self, events: pa.Table) -> pa.Table:
        """Return the events that may be learned from."""
        is_allowed = _are_in(events["customer_key"], self._allowed)
        others = events["customer_key"].filter(pc.invert(is_allowed))
        self._left_out.update(others.unique().to_pylist())
        return events.filter(is_allowed)


def learnable(settings: Settings) -> Learnable:
    """Return the filter of events for training at this moment; depends on the settings."""
    return Learnable(None if settings.learn_without_consent else keys(settings).allowed)


def _are_in(values: pa.ChunkedArray, allowed: pa.Array | None) -> pa.ChunkedArray:
    if allowed is None:
        return pc.is_valid(values)
    return pc.is_in(values, value_set=allowed)


def _keys_of(pairs: pa.Table, ids: pa.Array) -> pa.Array:
    return pc.unique(pairs["customer_key"].filter(pc.is_in(pairs["customer_id"], value_set=ids)))
