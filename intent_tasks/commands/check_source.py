"""`intent check-source`: what schema `shop` has, what it lacks, and what that costs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import sqlalchemy as sa
import typer

from intent_tasks.core.rules import DUPLICATE, REQUIRED
from intent_tasks.errors import Refused
from intent_tasks.settings import Settings, load_settings
from intent_tasks.tables import customers, events, products

if TYPE_CHECKING:
    from expectations import schema
    from intent_tasks.stores.extracting import source_facts

COSTS = {
    "session_id": "visits are not told apart",
    "product_id": "no products and nothing about them: reasons can only name what was done",
    "quantity": "every purchase counts as one piece",
    "price": "the model does not see what things cost",
    "currency": "prices count as of one currency",
    "query_text": "what customers search for is not read",
    "review_text": "what customers write in reviews is not read",
    "rating": "the stars of reviews are not read",
    "channel": "the model and the feedback do not see where visits come from",
    "device": "the model does not see the device",
    "ingested_at": "events that arrive late change days that were predicted already: after "
    "INTENT_RECOUNT_DAYS they are not seen any more",
}
"""What a missing optional column of `shop.events` costs."""

TABLE_COSTS = {
    products.name: "the model does not see categories, brands, titles and pictures",
    customers.name: "consent is not known: nobody can be put on a marketing list",
}

MENDS = {
    DUPLICATE: "Make event_id of all that tells two rows apart, of order and line for instance",
    "event_type is unknown": "Say in a view which of the types each is (docs/tables.md), as lower "
    "case",
    "customer_id is missing": "Leave events that nobody is known of out of the view",
}
"""What to do about rows that break a rule, by rule."""

RECENT_DAYS, MOST_ROWS = 14, 2_000_000
"""Days whose rows are judged one by one, the last one first; fewer, where they hold many rows."""

LEAST_CUSTOMERS = 100
"""Customers below which nothing is said of how events are spread over them."""
MOST_OF_ONE = 0.1
"""Share of all events that no single person has."""
LEAST_RETURNING = 0.01
"""Share of customers who come back on another day; with less, an id is hardly a person's."""

MOST_SENTINELS = 10
"""Texts that stand for no id, of which a line is written."""

SENTINEL_MENDS = {
    "customer_id": f"leave these events out of {events.fullname}",
    "product_id": "make it null in the view, NULLIF(product_id, '{0}')",
}
"""What to do about a text that stands for no id, by column."""

STALE_HOURS = 48


@dataclass
class Report:
    """The lines of the report, and the number of problems among them."""

    lines: list[str] = field(default_factory=list)
    problems: int = 0

    def fine(self, text: str) -> None:
        """Add what is as it should be."""
        self.lines.append(f"ok       {text}")

    def costs(self, text: str) -> None:
        """Add what the system can do without, and what that costs."""
        self.lines.append(f"costs    {text}")

    def problem(self, text: str) -> None:
        """Add what keeps the system from working."""
        self.problems += 1
        self.lines.append(f"PROBLEM  {text}")


def check_source() -> None:
    """Print the report on the shop's tables; fail when a problem keeps the system from working."""
    report = check(load_settings(), datetime.now(UTC))
    _print(report)
    if report.problems:
        raise Refused(
            f"{report.problems} of these keep the system from working. docs/collect.md shows how "
            "to point it at views over the shop's own tables."
        )
    typer.echo("Everything that is needed is there.")


def _print(report: Report) -> None:
    """Print what was found, without addresses that the shop uses as ids or types."""
    import pyarrow as pa

    from intent_tasks.core.identity import without_addresses

    for line in without_addresses(pa.chunked_array([report.lines], pa.string())).to_pylist():
        typer.echo(line)


def check(settings: Settings, now: datetime) -> Report:
    """Return the report on the shop's tables at a moment.

    Raises:
        TemporaryFailure: the database cannot be reached.
    """
    from intent_tasks.stores import postgres

    report = Report()
    try:
        with postgres.reading(settings.shop_url) as connection:
            _check_all(report, connection, settings, now)
    except Refused as error:  # a view that fails on a row: the rest of what is known is shown
        report.problem(str(error))
    return report


def _check_all(
    report: Report, connection: sa.Connection, settings: Settings, now: datetime
) -> None:
    from expectations import schema
    from intent_tasks.commands import source_consent
    from intent_tasks.stores.extracting import source_facts

    found = schema.types(connection, events)
    if found is None:
        report.problem(
            f"There is no table or view {events.fullname}: make a view over the shop's own "
            "tables, or let `intent collect` make it."
        )
        return
    if not source_facts.may_read(connection, events):
        report.problem(
            f"The role of INTENT_SHOP_URL may not read {events.fullname}: "
            f"GRANT USAGE ON SCHEMA shop, and SELECT ON {events.fullname}, TO it."
        )
        return
    usable = _check_columns(report, found)
    for table in (products, customers):
        _check_optional(report, connection, table)
    if usable:
        source_consent.check(report, connection, settings)
        _check_events(report, connection, settings, now)


def _check_columns(report: Report, found: "schema.Types") -> bool:
    from intent_tasks.stores.extracting import source_facts

    missing = [name for name in REQUIRED if name not in found]
    for name in missing:
        report.problem(f"{events.fullname} lacks {name}: {events.c[name].comment}.")
    wrong = source_facts.problems(events, found)
    for said in wrong:
        report.problem(said)
    absent = [name for name in COSTS if name not in found]
    for name in absent:
        report.costs(f"{events.fullname} has no {name}: {COSTS[name]}.")
    if not (missing or wrong):
        known = sum(column.name in found for column in events.c)
        report.fine(f"{events.fullname} can be read; {known} of {len(events.c)} columns.")
    return not (missing or wrong)


def _check_optional(report: Report, connection: sa.Connection, table: sa.Table) -> None:
    from expectations import schema
    from intent_tasks.stores.extracting import source_facts

    found = schema.types(connection, table)
    if found is None:
        report.costs(f"There is no {table.fullname}: {TABLE_COSTS[table.name]}.")
    elif not source_facts.may_read(connection, table):
        report.problem(f"The role of INTENT_SHOP_URL may not read {table.fullname}: grant it.")
    elif key := [c.name for c in table.primary_key if c.name not in found]:
        report.problem(f"{table.fullname} lacks {key[0]}.")
    elif wrong := source_facts.problems(table, found):
        for said in wrong:
            report.problem(said)
    else:
        absent = ", ".join(c.name for c in table.c if c.name not in found)
        report.fine(f"{table.fullname} can be read" + (f"; it has no {absent}." if absent else "."))


def _check_events(
    report: Report,
    connection: sa.Connection,
    settings: Settings,
    now: datetime,
) -> None:
    from intent_tasks.commands import source_history
    from intent_tasks.stores.extracting import source, source_facts

    facts = source_facts.events_of(connection, settings, source.relation(connection), now)
    if facts.newest_future_at is not None:
        report.problem(
            f"{facts.future_rows:,} events are of more than a day from now, up to "
            f"{facts.newest_future_at:%Y-%m-%d}: a clock is wrong, or a time was taken for what it "
            f"is not. Correct them, or leave them out of {events.fullname}."
        )
    if facts.first_day is None or facts.last_day is None or facts.newest_at is None:
        report.problem(f"{events.fullname} has no events up to now.")
        return
    report.fine(
        f"{facts.rows:,} events of {facts.customers:,} customers, {facts.first_day} to "
        f"{facts.last_day}; {facts.late_rows / facts.rows:.1%} arrived on a later day."
    )
    if facts.unusable_rows:
        report.costs(
            f"{facts.unusable_rows:,} events lack {' or '.join(REQUIRED)}: they are set aside."
        )
    for name, count in sorted(facts.unknown_types.items())[:5]:
        report.costs(f"{count:,} events are of the type {name!r}, which is none of the contract's.")
    for name, share in facts.empty.items():
        if share == 1 and name in COSTS:
            report.costs(f"{events.fullname}.{name} is always empty: {COSTS[name]}.")
    if "price" in facts.empty and (count := source_facts.count_infinite_prices(connection)):
        report.costs(
            f"{count:,} events have the price NaN or infinity: it is read as null. Correct it in "
            "the view."
        )
    last = _complete(settings, facts, now)
    _check_rows(report, settings, last)
    _check_ids(report, connection, settings, facts.rows)
    _check_customers(report, connection, settings, facts.rows)
    _check_freshness(report, settings, facts.newest_at, now)
    enough, said = source_history.judged(connection, settings, facts.first_day, last)
    (report.fine if enough else report.problem)(said)


def _check_rows(report: Report, settings: Settings, last: date) -> None:
    """Say which rows of the last days an extract would set aside, and whether it would refuse."""
    from intent_tasks.stores.extracting import source_facts

    days = [last - timedelta(days=n) for n in range(RECENT_DAYS)]
    found = source_facts.refusable(settings, days, MOST_ROWS)
    worst = max(found, key=lambda day: day.broken - day.most, default=None)
    if worst is None or not any(day.broken for day in found):
        return
    refused = sum(day.broken > day.most for day in found)
    if refused:
        report.problem(
            f"{refused} of the last {len(found)} days with events would be refused: "
            f"{worst.broken:,} of {worst.rows:,} rows that arrived on {worst.day} cannot be used, "
            f"and {worst.most:,.0f} may be set aside (INTENT_QUARANTINE_SHARE). {_by_rule([worst])}"
        )
    else:
        report.costs(
            f"{sum(day.broken for day in found):,} of {sum(day.rows for day in found):,} rows of "
            f"the last {len(found)} days with events cannot be used and are set aside; from what "
            f"share on the contract refuses a day: docs/contract.md. {_by_rule(found)}"
        )


def _by_rule(days: "Sequence[source_facts.Refusable]") -> str:
    together = sum((Counter(day.by_rule) for day in days), Counter[str]())
    said = ", ".join(f"{rule}: {count:,}" for rule, count in together.most_common(5))
    [(most, _)] = together.most_common(1)
    return f"By rule: {said}. {MENDS.get(most, 'Mend them in a view')}: docs/collect.md."


def _check_ids(report: Report, connection: sa.Connection, settings: Settings, rows: int) -> None:
    """Say which ids stand for several events, and which for no customer or product."""
    from intent_tasks.stores.extracting import day_builder, source_ids

    if count := source_ids.collisions_of(connection):
        add = report.problem if count > day_builder.most_set_aside(settings, rows) else report.costs
        verb = "ids stand" if count > 1 else "id stands"
        add(
            f"{count:,} {verb} for two different events: another customer, type or product with "
            f"the same event_id. A resend cannot be told from them. Put a prefix before the ids "
            f"of each kind in the view, such as 'o' || order_id and 'v' || view_id."
        )
    marks = source_ids.sentinels_of(connection)
    for column, value, marked in marks[:MOST_SENTINELS]:
        report.costs(
            f"{marked:,} events have the {column} {value!r}, which stands for none and counts as "
            f"one: {SENTINEL_MENDS[column].format(value)}."
        )
    if more := marks[MOST_SENTINELS:]:
        report.costs(
            f"{len(more)} other texts that stand for no customer or product are in "
            f"{sum(mark.rows for mark in more):,} events."
        )


def _check_customers(
    report: Report, connection: sa.Connection, settings: Settings, rows: int
) -> None:
    from intent_tasks.stores.extracting import source_ids

    found = source_ids.customers_of(connection, settings)
    if found.count < LEAST_CUSTOMERS:
        return
    if found.busiest_rows > MOST_OF_ONE * rows:
        report.costs(
            f"One customer, {found.busiest!r}, has {found.busiest_rows / rows:.0%} of all events. "
            "If that stands for people who are not known, leave these events out of "
            f"{events.fullname}: they are predicted as if they were one."
        )
    if found.returning < LEAST_RETURNING * found.count:
        report.costs(
            f"{found.returning:,} of {found.count:,} customers came back on another day. Is "
            "customer_id one per order or visit? Take what stays the same for a person: of others "
            "nothing can be predicted."
        )


def _complete(settings: Settings, facts: "source_facts.Events", now: datetime) -> date:
    """Return the last shop day that is over."""
    yesterday = now.astimezone(ZoneInfo(settings.time_zone)).date() - timedelta(days=1)
    return min(facts.last_day or yesterday, settings.last_day or yesterday)


def _check_freshness(
    report: Report, settings: Settings, newest_at: datetime, now: datetime
) -> None:
    hours = (now - newest_at).total_seconds() / 3600
    if settings.last_day is not None:
        report.fine(f"The shop is a recording: its today is {settings.last_day}.")
    elif hours > STALE_HOURS:
        report.costs(
            f"The newest event arrived {hours / 24:.0f} days ago: a day without events is not "
            "predicted. Is the load broken?"
        )
    elif hours < -1:
        report.costs(f"The newest event is of {-hours:.0f} hours from now: a clock is wrong.")
    else:
        report.fine(f"The newest event arrived {max(hours, 0):.1f} hours ago.")
