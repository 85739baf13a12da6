"""Marginal distributions of the simulated shop and of public shops.

`python -m tools.docs.simulator_marginals --rees46 FILE --retailrocket FILE` reads files of events
in these formats and writes only their marginals to `simulator_public.json`. Then
`python -m tools.docs.generate_simulator` writes the page and its pictures. REES46 and Retailrocket
publish their files on kaggle.com.
"""

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

PUBLIC = Path(__file__).parent / "simulator_public.json"
SESSION_GAP_MINUTES = 30
"""A longer pause starts a new session, where the shop records no session."""

CURVES = ("events a session", "events a buyer", "days between active days of buyers", "products")
POINTS = 40
"""Most points of a curve."""

Marginals = dict[str, Any]


def marginals(events: pd.DataFrame, parts: Iterable[str]) -> Marginals:
    """Return numbers and curves of a shop.

    Args:
        events: columns of `shop.events`.
        parts: what can be compared: `visitors` (all, with their sessions and prices), `products`,
            `buyers` (complete histories of the customers who bought).

    Returns:
        `about`, `numbers` (row of the table → text) and `curves` (`CURVES` → x and y).
    """
    result: Marginals = {"numbers": {}, "curves": {}}
    result["about"] = f"{len(events):,} events of {events.customer_id.nunique():,} customers"
    for part in parts:
        numbers, curves = PARTS[part](events)
        result["numbers"] |= numbers
        result["curves"] |= curves
    return result


def table(shops: dict[str, Marginals]) -> str:
    """Return the numbers of shops side by side, as Markdown; the last shop has every row."""
    rows = ["| | " + " | ".join(shops) + " |", "|---" * (len(shops) + 1) + "|"]
    for name in list(shops.values())[-1]["numbers"]:
        values = [shop["numbers"].get(name, "–") for shop in shops.values()]
        rows.append(f"| {name} | " + " | ".join(values) + " |")
    return "\n".join(rows)


def _visitors(events: pd.DataFrame) -> tuple[dict[str, str], Marginals]:
    sizes = events.session_id.value_counts()
    bought = events.session_id[events.event_type == "purchase"].nunique()
    gaps = events.groupby("session_id").occurred_at.diff().dt.total_seconds().dropna()
    numbers = {
        **_shares(events, ""),
        "sessions that buy": f"{bought / len(sizes):.3f}",
        "events a session: mean, p50, p90, p99": _spread(sizes, (0.5, 0.9, 0.99)),
        "sessions of one event": f"{(sizes == 1).mean():.2f}",
        "seconds between events: p10, p50, p90": _quantiles(gaps, (0.1, 0.5, 0.9)),
        "price: p5, p50, p95": _quantiles(events.price.dropna(), (0.05, 0.5, 0.95)),
    }
    return numbers, {"events a session": _at_least(sizes)}


def _products(events: pd.DataFrame) -> tuple[dict[str, str], Marginals]:
    share = events.product_id.value_counts(normalize=True).cumsum().to_numpy()
    rank = (np.arange(len(share)) + 1) / len(share)
    numbers = {
        f"events on the top {percent} % of products": f"{np.interp(percent / 100, rank, share):.2f}"
        for percent in (1, 10)
    }
    return numbers, {"products": _thinned(rank, share)}


def _buyers(events: pd.DataFrame) -> tuple[dict[str, str], Marginals]:
    bought = events.event_type == "purchase"
    buyers = events[events.customer_id.isin(events.customer_id[bought].unique())]
    counts = buyers.customer_id.value_counts()
    days = buyers.occurred_at.dt.floor("D")
    active = pd.DataFrame({"customer": buyers.customer_id, "day": days}).drop_duplicates()
    gaps = active.groupby("customer").day.diff().dt.days.dropna()
    weekdays = days.dt.day_of_week.value_counts(normalize=True).sort_index()
    shares = " ".join(f"{share:.2f}".lstrip("0") for share in weekdays)
    numbers = {
        **_shares(buyers, "buyers: "),
        "buyers: events each: mean, p50, p90, p99": _spread(counts, (0.5, 0.9, 0.99)),
        "buyers: sessions an active day": f"{_count_sessions(buyers) / len(active):.1f}",
        "buyers: days between active days: mean, p50, p90": _spread(gaps, (0.5, 0.9)),
        "buyers: share by weekday, Monday first": shares,
    }
    curves = {"events a buyer": counts, "days between active days of buyers": gaps}
    return numbers, {name: _at_least(values) for name, values in curves.items()}


PARTS = {"visitors": _visitors, "products": _products, "buyers": _buyers}


def _count_sessions(events: pd.DataFrame) -> int:
    """Return the number of sessions; where none are recorded, a pause starts one."""
    if events.session_id.notna().all():
        return int(events.session_id.nunique())
    ordered = events.sort_values(["customer_id", "occurred_at"])
    pause = ordered.groupby("customer_id").occurred_at.diff()
    return int((~(pause <= pd.Timedelta(minutes=SESSION_GAP_MINUTES))).sum())


def _shares(events: pd.DataFrame, of: str) -> dict[str, str]:
    three = events.event_type.value_counts()[["view", "cart", "purchase"]]
    share = three / three.sum()  # the public shops know these three alone
    return {
        f"{of}views, share of events": f"{share['view']:.3f}",
        f"{of}carts": f"{share['cart']:.3f}",
        f"{of}purchases": f"{share['purchase']:.3f}",
        f"{of}carts a purchase": f"{three['cart'] / three['purchase']:.1f}",
    }


def _quantiles(values: pd.Series, at: Iterable[float]) -> str:
    return ", ".join(f"{values.quantile(q):.0f}" for q in at)


def _spread(values: pd.Series, at: Iterable[float]) -> str:
    return f"{values.mean():.1f}, {_quantiles(values, at)}"


def _at_least(values: pd.Series) -> list[list[float]]:
    """Return the distinct values, and the share of values that are at least as large."""
    ordered = np.sort(values.to_numpy(float))
    x = np.unique(ordered)
    return _thinned(x, 1 - np.searchsorted(ordered, x) / len(ordered))


def _thinned(x: np.ndarray, y: np.ndarray) -> list[list[float]]:
    """Return a curve at points evenly spaced on the logarithm of x."""
    wanted = np.geomspace(x[0], x[-1], POINTS)
    chosen = np.unique(np.clip(np.searchsorted(x, wanted), 0, len(x) - 1))
    return [[float(f"{value:.3g}") for value in values[chosen]] for values in (x, y)]


SHOPS = {"REES46": ("visitors", "products"), "Retailrocket": ("products", "buyers")}
"""Comparable numbers of each public file: one has hours of all visitors, one months of buyers."""


def main() -> None:
    """Write the marginals of the public files."""
    from intent_tasks.formats import files

    parser = argparse.ArgumentParser(description=__doc__)
    for name in SHOPS:
        parser.add_argument(f"--{name.lower()}", type=Path, metavar="FILE", help="of events")
    given = vars(parser.parse_args())
    public = json.loads(PUBLIC.read_text(encoding="utf-8")) if PUBLIC.exists() else {}
    for name, parts in SHOPS.items():
        if (path := given[name.lower()]) is not None:
            tables = [batch.events for batch in files.read(path, name.lower())]
            public[name] = marginals(pa.concat_tables(tables).to_pandas(), parts)
    ordered = {name: public[name] for name in SHOPS if name in public}
    PUBLIC.write_text(json.dumps(ordered) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
