"""Who may be predicted and who may be put on a list, by what `shop.customers` says right now.

The rule, here and nowhere else. A customer says *yes* to a purpose when the column of that purpose
is true and `suppressed` is not. A customer with a row that says anything else (false, null, or
suppressed) says *no*. Of a customer without a row nothing is known, and so of everybody where the
shop has no such table or column.

- Predicting (`consent_personalisation`) leaves out who says no, and so does learning.
- A list for people takes only who says yes.
"""

from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from intent_tasks.core.identity import customer_keys
from intent_tasks.errors import BadInput, Refused
from intent_tasks.settings import Settings
from intent_tasks.stores import postgres
from intent_tasks.tables import customers

PURPOSES = ("personalisation", "marketing")
"""What a customer can say yes to; each has its column `consent_…`."""


class Consent(NamedTuple):
    """The customer_ids that say yes and those that say no; of all others nothing is known.

    `is_recorded` says whether the shop has the column of the purpose at all.
    """

    yes: pa.Array
    no: pa.Array
    is_recorded: bool


def read(settings: Settings, purpose: str) -> Consent:
    """Return what customers say to a purpose at this moment.

    Raises:
        BadInput: there is no such purpose.
        Refused: a column is no boolean, or the table may not be read.
    """
    if purpose not in PURPOSES:
        raise BadInput(f"There is no purpose {purpose!r}; purposes: {', '.join(PURPOSES)}.")
    name = f"consent_{purpose}"
    known = _known_columns(settings, (name, "suppressed"))
    if not known:
        return Consent(pa.array([], pa.string()), pa.array([], pa.string()), False)
    suppressed = customers.c.suppressed if "suppressed" in known else sa.false()
    said = customers.c[name] if name in known else sa.null()
    query = sa.select(
        sa.cast(customers.c.customer_id, sa.Text).label("customer_id"),
        sa.and_(said.is_(sa.true()), suppressed.is_not(sa.true())).label("yes"),
    )
    if name not in known:
        query = query.where(suppressed.is_(sa.true()))
    with postgres.arrow(settings.shop_url, query) as reader:
        rows = reader.read_all().combine_chunks()
    ids, yes = rows["customer_id"], rows["yes"]
    no = pc.invert(yes)
    return Consent(_ids(ids.filter(yes)), _ids(ids.filter(no)), name in known)


class Learnable:
    """What may be learned from: the events of everybody but some, who are counted.

    Args:
        refused: customer_keys of those who are left out.
    """

    def __init__(self, refused: pa.Array) -> None:
        self._refused = refused
        self._left_out: set[str] = set()

    @property
    def left_out(self) -> int:
        """Customers who had events and were left out so far."""
        return len(self._left_out)

    def of(self, events: pa.Table) -> pa.Table:
        """Return the events that may be learned from."""
        theirs = pc.is_in(events["customer_key"], value_set=self._refused)
        self._left_out.update(events["customer_key"].filter(theirs).unique().to_pylist())
        return events.filter(pc.invert(theirs))


def learnable(settings: Settings) -> Learnable:
    """Return who may be learned from at this moment, as the settings say."""
    nobody = pa.array([], pa.string())
    return Learnable(nobody if settings.learn_without_consent else keys_that_say_no(settings))


def keys_that_say_no(settings: Settings) -> pa.Array:
    """Return the customer_key of everybody who may not be predicted.

    The role that writes predictions may not read schema `shop`: the ids are read as the extract
    reads them, and leave this function as keys only.
    """
    refused = read(settings, "personalisation").no
    key = settings.identity_key.get_secret_value().encode()
    return pa.array(customer_keys(refused.to_pylist(), key).tolist(), pa.string())


def _known_columns(settings: Settings, wanted: tuple[str, ...]) -> set[str]:
    """Return which of the columns `shop.customers` has; none where there is no such table."""
    with postgres.reading(settings.shop_url) as connection:
        try:
            found = sa.inspect(connection).get_columns(customers.name, schema=customers.schema)
        except sa.exc.NoSuchTableError:
            return set()
    types = {column["name"]: column["type"] for column in found}
    known = {name for name in wanted if name in types}
    for name in sorted(known):
        if not isinstance(types[name], sa.Boolean):
            raise Refused(
                f"{customers.fullname}.{name} is {types[name]}; it must be boolean, so that "
                "nobody is predicted or listed by a misunderstanding. Change the table or view."
            )
    return known


def _ids(values: pa.Array) -> pa.Array:
    return values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
