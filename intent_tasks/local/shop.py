"""Which shop the demo runs on: a simulated one, or recorded events."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from intent_tasks.errors import BadInput
from intent_tasks.formats import files, table_files
from intent_tasks.local.installation import Calendar

SIMULATED_LAST_DAY = date(2026, 6, 30)


@dataclass(frozen=True)
class Shop:
    """A shop that the demo serves.

    Args:
        name: what to call it.
        last_day: its today: nothing is predicted after it.
        command: arguments of `intent` that load it into schema `shop`.
        time_zone: whose midnight ends its days.
        first_day: of a recorded shop; a simulated one has always days enough.
        later_rows: events after the last day, of which nobody is told.
    """

    name: str
    last_day: date
    command: tuple[str, ...]
    time_zone: str
    first_day: date | None = None
    later_rows: int = 0

    @property
    def described(self) -> str:
        """What to say of it before anything is begun."""
        later = (
            f" {self.later_rows:,} of its rows are later, and left out." if self.later_rows else ""
        )
        return f"Shop: {self.name}; its today is {self.last_day}.{later}"

    @property
    def calendar(self) -> Calendar:
        """How its days are counted."""
        return Calendar(time_zone=self.time_zone, last_day=self.last_day)


def choose_shop(
    events: Path | None,
    events_format: str | None,
    time_zone: str,
    products: Path | None = None,
    customers: Path | None = None,
) -> Shop:
    """Return the simulated shop, or the one of a file, which is read to its end first.

    Args:
        events: file of recorded events; None: a simulated shop.
        events_format: how the file is written.
        time_zone: whose midnight ends its days.
        products: file of what is sold.
        customers: file of who buys, with their consent.

    Raises:
        BadInput: the file cannot be used, or a format was given without a file.
    """
    more = {"products": products, "customers": customers}
    if events is None:
        if given := [name for name, path in more.items() if path]:
            raise BadInput(
                f"{given[0].upper()}={more[given[0]]} is a file of a recorded shop: name the file "
                "of its events too, EVENTS=…."
            )
        if events_format:
            raise BadInput(f"FORMAT={events_format} says how a file is written: name it, EVENTS=….")
        simulate = ("simulate", "--to", "shop")
        return Shop("a simulated shop", SIMULATED_LAST_DAY, simulate, time_zone)
    path, layout = events.absolute(), events_format or "native"
    days = files.days(path, layout, time_zone, datetime.now(UTC))
    load = ["load", str(path), "--format", layout]
    for name, of_table in more.items():
        if of_table:
            table_files.require_readable(of_table.absolute(), layout, name)
            load += [f"--{name}", str(of_table.absolute())]
    return Shop(path.name, days.last, tuple(load), time_zone, days.first, days.later_rows)
