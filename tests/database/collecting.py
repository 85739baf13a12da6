"""Files of events as tests of collecting write them, and what the shop holds after."""

import sqlalchemy as sa

from intent_tasks.steps import collect
from intent_tasks.stores import postgres

HEADER = "event_id,customer_id,event_type,occurred_at,price\n"


def line(number, **changes):
    """Return one line, with what differs from the usual one."""
    row = {"id": f"e{number}", "customer": f"c{number % 7}", "type": "view", "price": number}
    row |= {"at": "2026-06-30T12:00:00Z"} | changes
    return "{id},{customer},{type},{at},{price}\n".format(**row)


def lines(start, end):
    """Return lines with the numbers from start up to, not including, end."""
    return "".join(line(n) for n in range(start, end))


def collected(settings, place, layout="native", **options):
    """Collect; return rows and files by outcome, and the messages."""
    messages = []
    totals = collect.collect(settings, str(place), layout, messages.append, **options)
    rows = {name: totals.rows[name] for name in ("loaded", "repeated", "quarantined")}
    return (
        rows
        | {name: totals.files[name] for name in ("known", "copied", "ignored")}
        | {"messages": messages}
    )


def ask(settings, query):
    """Return the rows of a query of the shop's owner."""
    with postgres.reading(settings.shop_owner_url) as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def events(settings):
    """Return the ids that the shop holds."""
    return [row[0] for row in ask(settings, "SELECT event_id FROM shop.events ORDER BY 1")]


def quarantined(settings):
    """Return source, number, key and rule of what is set aside."""
    query = "SELECT source, row_number, row_key, rule FROM intent.quarantine ORDER BY 1, 2"
    return ask(settings, query)
