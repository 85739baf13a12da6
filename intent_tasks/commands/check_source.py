"""`intent check-source`: what schema `shop` has, what is missing, and what that costs."""

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
    "session_id": "visits cannot be distinguished",
    "product_id": "no products are known: reasons name only the type of event",
    "quantity": "every purchase counts as one piece",
    "price": "the model does not see prices",
    "currency": "all prices count as one currency",
    "query_text": "the model does not see searches",
    "review_text": "the model does not see the text of reviews",
    "rating": "the model does not see ratings",
    "channel": "the model and the feedback do not see where visits come from",
    "device": "the model does not see the device",
    "ingested_at": "late events change days that were already predicted; those later than "
    "INTENT_RECOUNT_DAYS are not read",
}
"""What a missing optional column of `shop.events` costs."""

TABLE_COSTS = {
    products.name: "the model does not see categories, brands, titles and pictures",
    customers.name: "consent is unknown: no customer can be on a marketing list",
}

ADVICE = {
    DUPLICATE: "Build event_id from all columns that identify a row, such as order and line",
    "event_type is unknown": "Map each type in a view to one of docs/tables.md, in lower case",
    "customer_id is missing": "Exclude events without a customer from the view",
}
"""What to do about rows that break a rule, by rule."""

RECENT_DAYS, MOST_ROWS = 14, 2_000_000
"""Number of last days whose rows are checked; fewer if they hold more rows than this."""

LEAST_CUSTOMERS = 100
"""Number of customers below which the distribution of events over them is not checked."""
MOST_OF_ONE = 0.1
"""Largest plausible share of one person in all events."""
LEAST_RETURNING = 0.01
"""Share of customers with events on two days; below it, an id is probably not a person."""

MOST_PLACEHOLDERS = 10
"""Placeholders of ids that get a line of their own."""

PLACEHOLDER_ADVICE = {
    "customer_id": f"exclude these events from {events.fullname}",
    "product_id": "make it null in the view with NULLIF(product_id, '{0}')",
}
"""What to do about a placeholder of an id, by column."""

STALE_HOURS = 48


@dataclass
class Report:
    """The lines of the report, and the number of problems among them."""

    lines: list[str] = field(default_factory=list)
    problems: int = 0

    def fine(self, text: str) -> None:
        """Add a line about something that is in order."""
        self.lines.append(f"ok       {text}")

    def costs(self, text: str) -> None:
        """Add a line about something optional that is missing, and its effect."""
        self.lines.append(f"costs    {text}")

    def problem(self, text: str) -> None:
        """Add a line about something that keeps the system from working."""
        self.problems += 1
        self.lines.append(f"PROBLEM  {text}")


def check_source() -> None:
    """Print the report on the shop's tables.

    Raises:
        Refused: a problem keeps the system from working.
    """
    report = check(load_settings(), datetime.now(UTC))
    _print(report)
    if report.problems:
        raise Refused(
            f"{report.problems} of these keep the system from working. docs/collect.md shows how "
            "to read views over the shop's own tables."
        )
    typer.echo("Nothing that is required is missing.")


def _print(report: Report) -> None:
    """Print the report without e-mail addresses that the shop uses as ids or types."""
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
    except Refused as error:  # a view fails on a row: show the lines so far
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
            f"There is no table or view {events.fullname}: create a view over the shop's "
            "own tables, or let `intent collect` create the table."
        )
        return
    if not source_facts.may_read(connection, events):
        report.problem(
            f"The role of INTENT_SHOP_URL may not read {events.fullname}: "
            f"grant it USAGE ON SCHEMA shop and SELECT ON {events.fullname}."
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
    for message in wrong:
        report.problem(message)
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
        report.problem(
            f"The role of INTENT_SHOP_URL may not read {table.fullname}: grant it SELECT."
        )
    elif key := [c.name for c in table.primary_key if c.name not in found]:
        report.problem(f"{table.fullname} lacks {key[0]}.")
    elif wrong := source_facts.problems(table, found):
        for message in wrong:
            report.problem(message)
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
            f"{facts.future_rows:,} events are more than a day in the future, up to "
            f"{facts.newest_future_at:%Y-%m-%d}: a clock is wrong, or another kind of time was "
            f"loaded. Correct them, or exclude them from {events.fullname}."
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
            f"{facts.unusable_rows:,} events lack {' or '.join(REQUIRED)}: they go to quarantine."
        )
    for name, count in sorted(facts.unknown_types.items())[:5]:
        report.costs(f"{count:,} events have the type {name!r}, which the contract does not know.")
    for name, share in facts.empty.items():
        if share == 1 and name in COSTS:
            report.costs(f"{events.fullname}.{name} is always empty: {COSTS[name]}.")
    if "price" in facts.empty and (count := source_facts.count_infinite_prices(connection)):
        report.costs(
            f"{count:,} events have NaN or infinity as price, which is read as null. Correct it "
            "in the view."
        )
    last = _complete(settings, facts, now)
    _check_rows(report, settings, last)
    _check_ids(report, connection, settings, facts.rows)
    _check_customers(report, connection, settings, facts.rows)
    _check_freshness(report, settings, facts.newest_at, now)
    is_enough, message = source_history.judge(connection, settings, facts.first_day, last)
    (report.fine if is_enough else report.problem)(message)


def _check_rows(report: Report, settings: Settings, last: date) -> None:
    """Add the rows of the last days that go to quarantine, and the days that would be refused."""
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
            f"{worst.broken:,} of {worst.rows:,} rows that arrived on {worst.day} cannot be used; "
            f"at most {worst.most:,.0f} may be (INTENT_QUARANTINE_SHARE). {_by_rule([worst])}"
        )
    else:
        report.costs(
            f"{sum(day.broken for day in found):,} of {sum(day.rows for day in found):,} rows of "
            f"the last {len(found)} days with events cannot be used and go to quarantine. "
            f"docs/contract.md has the share that refuses a day. {_by_rule(found)}"
        )


def _by_rule(days: "Sequence[source_facts.Refusable]") -> str:
    counts = sum((Counter(day.by_rule) for day in days), Counter[str]())
    listed = ", ".join(f"{rule}: {count:,}" for rule, count in counts.most_common(5))
    [(most, _)] = counts.most_common(1)
    return f"By rule: {listed}. {ADVICE.get(most, 'Correct them in a view')}: docs/collect.md."


def _check_ids(report: Report, connection: sa.Connection, settings: Settings, rows: int) -> None:
    """Add the ids that several events share, and the placeholders of ids."""
    from intent_tasks.stores.extracting import day_builder, source_ids

    if count := source_ids.collisions_of(connection):
        add_line = (
            report.problem if count > day_builder.most_set_aside(settings, rows) else report.costs
        )
        ids = "ids belong" if count > 1 else "id belongs"
        add_line(
            f"{count:,} {ids} to two different events: another customer, type or product has the "
            f"same event_id. They look like duplicates. Add a prefix to the ids of each kind in "
            f"the view, such as 'o' || order_id and 'v' || view_id."
        )
    placeholders = source_ids.sentinels_of(connection)
    for column, value, marked in placeholders[:MOST_PLACEHOLDERS]:
        report.costs(
            f"{marked:,} events have the {column} {value!r}, a placeholder that counts as one id: "
            f"{PLACEHOLDER_ADVICE[column].format(value)}."
        )
    if more := placeholders[MOST_PLACEHOLDERS:]:
        report.costs(
            f"{len(more)} other placeholders of customers or products are in "
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
            "If it is a placeholder for unknown visitors, exclude these events from "
            f"{events.fullname}: they are predicted as one customer."
        )
    if found.returning < LEAST_RETURNING * found.count:
        report.costs(
            f"{found.returning:,} of {found.count:,} customers came back on another day. Is there "
            "one customer_id per order or visit? Use an id that stays the same for a person: "
            "nothing can be predicted for other ids."
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
        report.fine(f"The shop is a recording: its last day is {settings.last_day}.")
    elif hours > STALE_HOURS:
        report.costs(
            f"The newest event arrived {hours / 24:.0f} days ago, and a day without events is "
            "not predicted. Is the load broken?"
        )
    elif hours < -1:
        report.costs(f"The newest event is {-hours:.0f} hours in the future: a clock is wrong.")
    else:
        report.fine(f"The newest event arrived {max(hours, 0):.1f} hours ago.")
