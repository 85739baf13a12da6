"""Show the thresholds of the contract, fit them to clean days, and accept the proposal."""

import difflib
from datetime import date
from pathlib import Path
from typing import Annotated

import typer

from intent_tasks.commands.arguments import day
from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings, load_settings

app = typer.Typer(help=__doc__, no_args_is_help=True)

PROPOSAL = "contract.proposed.toml"
"""What `fit` wrote and no person has accepted yet, in INTENT_HOME."""

HEADER = """Thresholds of this shop, fitted on the shop days {first} to {last}.

A bound is the 5 or 95 % quantile of the value on those days and a margin of 1.5 times the distance
between both (expectations/threshold_fitting.py). Read it, change what you know better, and put it
in force with `intent contract accept`.

severity: stop (nothing is predicted from the day, yesterday's predictions stay), quarantine (rows
that break it are set aside; above the bound, a share of rows, the day stops) or warn."""


@app.command()
def show(
    suite: Annotated[str | None, typer.Argument(help="events, products, …; all without it")] = None,
) -> None:
    """Print every rule with its meaning and its bound."""
    from expectations import catalogue, thresholds
    from intent_tasks.stores.contracts import contract

    if suite is not None and suite not in thresholds.SUITES:
        raise BadInput(f"There is no suite {suite!r}; suites: {', '.join(thresholds.SUITES)}.")
    limits = contract.in_force(load_settings())
    for name in [suite] if suite else thresholds.SUITES:
        for rule, meaning in catalogue.meanings(name).items():
            bound = limits[name].rules.get(rule)
            allowed = f"{bound.severity}: {bound}" if bound else "no bound; see `fit`"
            typer.echo(f"{name}.{rule}: {meaning}. {allowed}")


@app.command()
def fit(
    first_day: Annotated[str, typer.Option(help="first clean shop day, YYYY-MM-DD")],
    last_day: Annotated[str, typer.Option(help="last one; at least 14 days, better 60")],
) -> None:
    """Fit thresholds to clean days, and show the difference."""
    from expectations import thresholds

    settings = load_settings()
    text = _fitted(settings, day(first_day), day(last_day))
    path = settings.home / PROPOSAL
    path.write_text(text, encoding="utf-8")
    thresholds.parse(path)
    typer.echo("\n".join(_changes(settings.home)))
    typer.echo(f"Proposed in {path}. Read it, then `intent contract accept`.", err=True)


@app.command()
def diff() -> None:
    """Show the difference between the proposal and the thresholds in force."""
    typer.echo("\n".join(_changes(_with_proposal())))


@app.command()
def accept() -> None:
    """Put the proposal in force. Read it first."""
    from expectations import thresholds

    home = _with_proposal()
    thresholds.parse(home / PROPOSAL)
    (home / PROPOSAL).replace(home / thresholds.FILE)
    typer.echo(f"{home / thresholds.FILE} is in force from the next check on.")


def _fitted(settings: Settings, first: date, last: date) -> str:
    from expectations import catalogue, thresholds
    from intent_tasks.stores import postgres
    from intent_tasks.stores.contracts import profile, threshold_fitting

    limits = thresholds.parse(thresholds.SHIPPED)
    days = threshold_fitting.days_between(first, last)
    with postgres.reading(settings.shop_url) as connection:
        limits["events"] = threshold_fitting.fit_events(
            connection, settings.definition, days, limits["events"], _progress
        )
        for name, module in profile.TABLES.items():
            _progress(name)
            limits[name] = (
                threshold_fitting.fit_table(connection, module, limits[name]) or limits[name]
            )
    with postgres.reading(settings.pipeline_url) as connection:
        of_ours = {
            "predictions": threshold_fitting.fit_predictions(
                connection, days, limits["predictions"], _progress
            ),
            "training_set": threshold_fitting.fit_training_sets(
                connection, days, limits["training_set"]
            ),
        }
    for name, fitted in of_ours.items():
        if fitted is None:
            _progress(f"{name}: too few clean days; what is shipped stays")
        limits[name] = fitted or limits[name]
    meanings = {suite: catalogue.meanings(suite) for suite in limits}
    return thresholds.text(HEADER.format(first=first, last=last), limits, meanings)


def _progress(text: str) -> None:
    typer.echo(f"… {text}", err=True)


def _with_proposal() -> Path:
    home = load_settings().home
    if not (home / PROPOSAL).exists():
        raise BadInput(
            f"There is no {home / PROPOSAL}. `intent contract fit --first-day D --last-day D` "
            "writes one."
        )
    return home


def _changes(home: Path) -> list[str]:
    from expectations import thresholds

    now = home / thresholds.FILE
    before = now if now.exists() else thresholds.SHIPPED
    old, new = (path.read_text(encoding="utf-8").splitlines() for path in (before, home / PROPOSAL))
    return list(difflib.unified_diff(old, new, str(before), PROPOSAL, lineterm="", n=0))
