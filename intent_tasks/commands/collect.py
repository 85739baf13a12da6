"""`intent collect` and `intent load`: files of events into schema `shop`."""

from typing import Annotated

import typer

from intent_tasks.settings import load_settings

app = typer.Typer()

Layout = Annotated[
    str, typer.Option("--format", help="native, rees46, ga4, …, or the path of a .toml file")
]


@app.command()
def collect(
    url: Annotated[str, typer.Argument(help="folder, object-store prefix or file")],
    layout: Layout = "native",
) -> None:
    """Load the new files of events at a place into schema `shop`, each once: docs/collect.md."""
    from intent_tasks.steps.collect import collect

    totals = collect(load_settings(), url, layout, _say)
    typer.echo(totals.said())


@app.command()
def load(
    events: Annotated[str, typer.Argument(help="file of recorded events")],
    layout: Layout = "native",
) -> None:
    """Load one file of events as the whole of a recorded shop, once."""
    from intent_tasks.steps.collect import collect

    totals = collect(load_settings(), events, layout, _say, alone=True)
    typer.echo(totals.said())


def _say(text: str) -> None:
    typer.echo(text, err=True)
