"""Runs of consecutive days."""

from datetime import date, timedelta


def day_ranges(days: list[date]) -> list[tuple[date, date]]:
    """Return each run of consecutive days as its first and last day.

    Args:
        days: in ascending order.
    """
    ranges: list[tuple[date, date]] = []
    for day in days:
        if ranges and day - ranges[-1][1] == timedelta(days=1):
            ranges[-1] = (ranges[-1][0], day)
        else:
            ranges.append((day, day))
    return ranges


def describe_days(days: list[date]) -> str:
    """Return days in ascending order as text, a run as `first to last`."""
    return ", ".join(
        str(first) if first == last else f"{first} to {last}" for first, last in day_ranges(days)
    )
