"""Suppression of small groups, so that no shown figure describes only a few customers."""

from collections.abc import Mapping

from intent_tasks.definition import LEAST_GROUP


def shown_values(sizes: Mapping[str, int], total: int) -> list[str]:
    """Return the values whose groups may be shown, sorted.

    A reader can subtract the shown groups from the total. So the hidden groups together must be
    empty or have at least `LEAST_GROUP` customers; otherwise the smallest shown group is hidden
    too.

    Args:
        sizes: value → number of customers.
        total: number of all customers, including those without a value.
    """
    shown = sorted(value for value, size in sizes.items() if size >= LEAST_GROUP)
    hidden = total - sum(sizes[value] for value in shown)
    while shown and 0 < hidden < LEAST_GROUP:
        smallest = min(shown, key=lambda value: sizes[value])
        shown.remove(smallest)
        hidden += sizes[smallest]
    return shown
