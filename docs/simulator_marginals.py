"""The simulated shop beside public ones, in numbers."""

from collections.abc import Iterable

import pandas as pd

REES46 = {
    "views, share of events": "0.978",
    "carts": "0.009",
    "purchases": "0.012",
    "sessions that buy": "0.040",
    "events a session: mean, p50, p90, p99": "3.4, 2, 8, 21",
    "sessions of one event": "0.41",
    "seconds between events: p10, p50, p90": "10, 33, 115",
    "price: p5, p50, p95": "18, 154, 1053",
    "events on the top 1 % of products": "0.18",
    "events on the top 10 % of products": "0.46",
}
"""REES46, one store, October 2019: a sample of 17,434 events of all visitors."""

RETAILROCKET = {
    "buyers: views, share of events": "0.776",
    "buyers: carts": "0.126",
    "buyers: purchases": "0.098",
    "buyers: events each: mean, p50, p90, p99": "46, 9, 49, 777",
    "buyers: sessions an active day": "2.0",
    "buyers: days between active days: mean, p50, p90": "6.1, 1, 15",
    "buyers: share by weekday, Monday first": ".17 .18 .18 .17 .15 .08 .08",
    "events on the top 1 % of products": "0.09",
    "events on the top 10 % of products": "0.38",
}
"""Retailrocket, 2015: 80,260 events of 1,739 customers who bought."""


def simulated(events: pd.DataFrame) -> dict[str, str]:
    """Return the same numbers of a simulated shop, columns of `shop.events`."""
    buyers = events[
        events.customer_id.isin(events.customer_id[events.event_type == "purchase"].unique())
    ]
    sizes = events.session_id.value_counts()
    bought = events.session_id[events.event_type == "purchase"].nunique()
    gaps = events.groupby("session_id").occurred_at.diff().dt.total_seconds().dropna()
    counts = buyers.customer_id.value_counts()
    by_product = events.product_id.value_counts()
    return {
        **_shares(events, ""),
        "sessions that buy": f"{bought / len(sizes):.3f}",
        "events a session: mean, p50, p90, p99": _spread(sizes, (0.5, 0.9, 0.99)),
        "sessions of one event": f"{(sizes == 1).mean():.2f}",
        "seconds between events: p10, p50, p90": _quantiles(gaps, (0.1, 0.5, 0.9)),
        "price: p5, p50, p95": _quantiles(events.price.dropna(), (0.05, 0.5, 0.95)),
        "events on the top 1 % of products": _top(by_product, 0.01),
        "events on the top 10 % of products": _top(by_product, 0.1),
        **_shares(buyers, "buyers: "),
        "buyers: events each: mean, p50, p90, p99": _spread(counts, (0.5, 0.9, 0.99)),
        **_rhythm(buyers),
    }


def table(made: dict[str, str]) -> str:
    """Return the numbers beside those of the public shops, as Markdown."""
    rows = ["| | REES46 | Retailrocket | simulated |", "|---|---|---|---|"]
    for name, value in made.items():
        public = f"{REES46.get(name, '–')} | {RETAILROCKET.get(name, '–')}"
        rows.append(f"| {name} | {public} | {value} |")
    return "\n".join(rows)


def _shares(events: pd.DataFrame, of: str) -> dict[str, str]:
    three = events.event_type.value_counts()[["view", "cart", "purchase"]]
    share = three / three.sum()  # the public shops know these three alone
    first = "views, share of events"
    return {f"{of}{first}": f"{share['view']:.3f}"} | {
        f"{of}{name}s": f"{share[name]:.3f}" for name in ("cart", "purchase")
    }


def _rhythm(buyers: pd.DataFrame) -> dict[str, str]:
    days = buyers.occurred_at.dt.floor("D")
    active = pd.DataFrame({"customer": buyers.customer_id, "day": days}).drop_duplicates()
    gaps = active.groupby("customer").day.diff().dt.days.dropna()
    weekdays = days.dt.day_of_week.value_counts(normalize=True).sort_index()
    shares = " ".join(f"{share:.2f}".lstrip("0") for share in weekdays)
    return {
        "buyers: sessions an active day": f"{buyers.session_id.nunique() / len(active):.1f}",
        "buyers: days between active days: mean, p50, p90": _spread(gaps, (0.5, 0.9), 1),
        "buyers: share by weekday, Monday first": shares,
    }


def _top(counts: pd.Series, share: float) -> str:
    return f"{counts.iloc[: round(len(counts) * share)].sum() / counts.sum():.2f}"


def _quantiles(values: pd.Series, at: Iterable[float]) -> str:
    return ", ".join(f"{values.quantile(q):.0f}" for q in at)


def _spread(values: pd.Series, at: Iterable[float], digits: int = 1) -> str:
    return f"{values.mean():.{digits}f}, {_quantiles(values, at)}"
