"""Generate `docs/simulator.md` and its pictures; `--check` only compares."""

import json
import sys
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pyarrow as pa
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intent_tasks.simulator import Config, customers, simulate
from intent_tasks.simulator.bayes_optimal import probabilities
from intent_tasks.simulator.config import STATES
from intent_tasks.simulator.observed import Observed, observe
from intent_tasks.simulator.planted import describe
from intent_tasks.simulator.process import PURCHASE
from intent_tasks.simulator.shop import block_of_days
from tools.docs.simulator_marginals import CURVES, PARTS, PUBLIC, Marginals, marginals, table

DOCS = Path(__file__).parents[2] / "docs"
PAGE, PICTURE = DOCS / "simulator.md", DOCS / "simulator.svg"
COMPARISON_PICTURE = DOCS / "simulator_public.svg"
TEMPLATE = Path(__file__).with_name("simulator.template.md")
HORIZON = 7


def marginals_of_shops(events: pa.Table) -> dict[str, Marginals]:
    """Return the marginals of the public shops and of the simulated one."""
    public: dict[str, Marginals] = json.loads(PUBLIC.read_text(encoding="utf-8"))
    return public | {"simulated": marginals(events.to_pandas(), PARTS)}


def page(compared: dict[str, Marginals]) -> str:
    """Return the page, with the numbers of the shops and the list of plants."""
    plants = "\n".join(f"- `{line.replace(': ', '`: ', 1)}" for line in describe().split("\n"))
    text = TEMPLATE.read_text(encoding="utf-8")
    about = "; ".join(f"{name}: {shop['about']}" for name, shop in compared.items())
    parts = {"table": table(compared), "about": about, "plants": plants}
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text


def draw(config: Config, events: pa.Table) -> None:
    """Draw activity, hours, one customer's intent, and the calibration of the limit."""
    figure, axes = _panels()
    observed = observe(config, events, customers(config))
    _activity(axes[0, 0], events)
    _hours(axes[0, 1], events)
    _one_customer(axes[1, 0], config, observed)
    _calibration(axes[1, 1], config, observed)
    figure.savefig(PICTURE, metadata={"Date": None})


def draw_comparison(compared: dict[str, Marginals]) -> None:
    """Draw the curves of the public shops and of the simulated one."""
    figure, axes = _panels()
    for axis, curve in zip(axes.flat, CURVES, strict=True):
        for number, (name, shop) in enumerate(compared.items()):
            if curve in shop["curves"]:
                x, y = shop["curves"][curve]
                axis.loglog(x, y, color=f"C{number}", label=name)
        axis.set(title=curve.capitalize(), ylabel="share with at least so many")
        axis.legend(frameon=False)
    axes.flat[-1].set(
        title="Events on the products looked at most",
        xlabel="share of products",
        ylabel="share of events",
    )
    figure.savefig(COMPARISON_PICTURE, metadata={"Date": None})


def _panels() -> tuple[Figure, np.ndarray]:
    mpl.rcParams |= {"svg.hashsalt": "simulator", "svg.fonttype": "none", "font.size": 9}
    figure, axes = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _activity(axis: Axes, events: pa.Table) -> None:
    counts = np.sort(events["customer_id"].value_counts().field("counts").to_numpy())
    axis.loglog(counts, 1 - np.arange(len(counts)) / len(counts))
    axis.set(title="Customers with at least so many events", xlabel="events", ylabel="share")


def _hours(axis: Axes, events: pa.Table) -> None:
    times = events["occurred_at"].to_pandas().dt
    hourly = np.bincount(times.day_of_week * 24 + times.hour, minlength=168)
    axis.plot(np.arange(168) / 24, hourly / hourly.sum())
    axis.set(title="Events by hour of the week", xlabel="day, Monday first", ylabel="share")


def _one_customer(axis: Axes, config: Config, observed: Observed) -> None:
    hidden = block_of_days(config, 0)[0].states
    bought = observed.kinds[:, : hidden.shape[1], PURCHASE]
    customer = int(np.flatnonzero(bought.sum(0) == 3)[0])
    chosen = [customer]
    one = Observed(observed.joined[chosen], observed.sessions[:, chosen], observed.kinds[:, chosen])
    days = np.arange(config.days - 1)
    limit = [probabilities(config, one, int(day), [HORIZON])[0, 0] for day in days]
    axis.step(days, hidden[:-1, customer], where="mid", color="0.75")
    axis.set_yticks(range(len(STATES)), STATES)
    chance = axis.twinx()
    chance.plot(days, limit)
    for day in np.flatnonzero(bought[:, customer]):
        chance.axvline(float(day), color="C3", linestyle=":")
    chance.set(ylim=(0, 1), ylabel="probability in 7 days")
    axis.set(title="Hidden intent, the limit, purchases (dotted)", xlabel="day")


def _calibration(axis: Axes, config: Config, observed: Observed) -> None:
    chances, outcomes = [], []
    for anchor in range(60, config.days - HORIZON, HORIZON):
        joined = observed.joined <= anchor
        chances.append(probabilities(config, observed, anchor, [HORIZON])[joined, 0])
        bought = np.any(observed.kinds[anchor + 1 : anchor + 1 + HORIZON, :, PURCHASE], axis=0)
        outcomes.append(bought[joined])
    chance, outcome = np.concatenate(chances), np.concatenate(outcomes)
    groups = np.array_split(np.argsort(chance, kind="stable"), 20)
    axis.plot([0, 0.6], [0, 0.6], color="0.75")
    axis.plot([chance[g].mean() for g in groups], [outcome[g].mean() for g in groups], "o")
    axis.set(title="Calibration of the limit", xlabel="probability in 7 days", ylabel="purchased")


def main() -> None:
    """Write the page and its pictures, or exit with an error when the page is stale."""
    config = Config()
    events = pa.concat_tables(simulate(config))
    compared = marginals_of_shops(events)
    if "--check" not in sys.argv:
        PAGE.write_text(page(compared), encoding="utf-8")
        draw(config, events)
        draw_comparison(compared)
    elif PAGE.read_text(encoding="utf-8") != page(compared):
        sys.exit("docs/simulator.md is stale. Run `make docs`.")


if __name__ == "__main__":
    main()
