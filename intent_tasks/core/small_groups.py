"""Suppression of small groups: no figure is shown that is about a few customers."""

from collections.abc import Mapping

from intent_tasks.definition import LEAST_GROUP


def shown_values(sizes: Mapping[str, int], total: int) -> list[str]:
    """Return the values whose groups may be shown, sorted.

    The size of what is hidden follows by subtraction from the total. So it must be zero or at least
    `LEAST_GROUP` too; otherwise the smallest shown group is hidden as well.

    Args:
        sizes: value → number of customers.
        total: number of all customers, with those that have no value.
    """
    shown = sorted(value for value, size in sizes.items() if size >= LEAST_GROUP)
    hidden = total - sum(sizes[value] for value in shown)
    while shown and 0 < hidden < LEAST_GROUP:
        smallest = min(shown, key=lambda value: sizes[value])
        shown.remove(smallest)
        hidden += sizes[smallest]
    return shown
