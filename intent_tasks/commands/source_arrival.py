"""What `intent check-source` reports about events that arrived before they happened."""

from typing import TYPE_CHECKING

from intent_tasks.settings import Settings

if TYPE_CHECKING:
    from intent_tasks.commands.source_consent import Report
    from intent_tasks.stores.extracting import source_facts


def check(report: "Report", settings: Settings, facts: "source_facts.Events") -> None:
    """Report events that arrived before they happened: no day of the history has them."""
    from intent_tasks.stores.extracting import day_builder

    count = facts.early_rows
    if not count:
        return
    is_many = count > day_builder.most_set_aside(settings, facts.rows)
    (report.problem if is_many else report.costs)(
        f"{count:,} events have an ingested_at of more than a day before they happened: they are "
        "set aside, or of a day that is never read. Correct it in the view: CASE WHEN ingested_at "
        "< occurred_at - interval '1 day' THEN occurred_at ELSE ingested_at END AS ingested_at."
    )
