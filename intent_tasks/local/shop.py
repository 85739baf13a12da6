"""The shop of the demo: simulated, or recorded events."""

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
        name: for messages.
        last_day: its today; no later day is predicted.
        command: arguments of `intent` that load it into schema `shop`.
        time_zone: IANA name; its midnight ends a shop day.
        first_day: of a recorded shop; None for a simulated one, which always has enough days.
        later_rows: number of events after the last day; they are not used.
    """

    name: str
    last_day: date
    command: tuple[str, ...]
    time_zone: str
    first_day: date | None = None
    later_rows: int = 0

    @property
    def description(self) -> str:
        """The shop in one line, for the start of the demo."""
        note = f" {self.later_rows:,} later rows are left out." if self.later_rows else ""
        return f"Shop: {self.name}; its today is {self.last_day}.{note}"

    @property
    def calendar(self) -> Calendar:
        """Its time zone and last day."""
        return Calendar(time_zone=self.time_zone, last_day=self.last_day)


def choose_shop(
    events: Path | None,
    events_format: str | None,
    time_zone: str,
    products: Path | None = None,
    customers: Path | None = None,
) -> Shop:
    """Return the simulated shop, or the shop of a file, which is read completely for that.

    Args:
        events: file of recorded events; None: a simulated shop.
        events_format: how the file is written.
        time_zone: IANA name; its midnight ends a shop day.
        products: file of the products.
        customers: file of the customers, with their consent.

    Raises:
        BadInput: the file cannot be used, or a format was given without a file.
    """
    table_paths = {"products": products, "customers": customers}
    if events is None:
        if given := [name for name, path in table_paths.items() if path]:
            raise BadInput(
                f"{given[0].upper()}={table_paths[given[0]]} belongs to a recorded shop: name the "
                "file of its events too, EVENTS=…."
            )
        if events_format:
            raise BadInput(
                f"FORMAT={events_format} is the format of a file. Name the file: EVENTS=…."
            )
        simulate = ("simulate", "--to", "shop")
        return Shop("a simulated shop", SIMULATED_LAST_DAY, simulate, time_zone)
    path, layout = events.absolute(), events_format or "native"
    days = files.days(path, layout, time_zone, datetime.now(UTC))
    load = ["load", str(path), "--format", layout]
    for name, table_path in table_paths.items():
        if table_path:
            table_files.require_readable(table_path.absolute(), layout, name)
            load += [f"--{name}", str(table_path.absolute())]
    return Shop(path.name, days.last, tuple(load), time_zone, days.first, days.later_rows)
