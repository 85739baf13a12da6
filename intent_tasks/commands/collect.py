"""The commands `intent collect` and `intent load`: load files into schema `shop`."""

from enum import StrEnum
from typing import Annotated

import typer

from intent_tasks.settings import load_settings

app = typer.Typer()


class Table(StrEnum):
    """A table of the shop that files fill."""

    EVENTS = "events"
    PRODUCTS = "products"
    CUSTOMERS = "customers"


Layout = Annotated[
    str, typer.Option("--format", help="native, rees46, ga4, …, or the path of a .toml file")
]


@app.command()
def collect(
    url: Annotated[str, typer.Argument(help="folder, object-store prefix or file")],
    layout: Layout = "native",
    table: Annotated[
        Table | None,
        typer.Option(help="table that the files fill; by default that of the format"),
    ] = None,
) -> None:
    """Load the new files of events at a place into schema `shop`, each once: docs/collect.md."""
    from intent_tasks.formats import mapping
    from intent_tasks.steps.collect import collect

    tables = mapping.load(layout).tables
    table = table or (Table.EVENTS if "events" in tables else Table(min(tables)))
    if table is Table.EVENTS:
        typer.echo(collect(load_settings(), url, layout, _report).summary())
    else:
        _collect_table(url, layout, table)


def _collect_table(url: str, layout: str, table: Table) -> None:
    from intent_tasks.steps.collect_tables import collect_tables

    typer.echo(collect_tables(load_settings(), url, layout, table.value, _report).summary())


@app.command()
def load(
    events: Annotated[str, typer.Argument(help="file of recorded events")],
    layout: Layout = "native",
    products: Annotated[str | None, typer.Option(help="file of its products")] = None,
    customers: Annotated[str | None, typer.Option(help="file of its customers")] = None,
) -> None:
    """Load one file of events as the whole of a recorded shop, once."""
    from intent_tasks.steps.collect import collect

    totals = collect(load_settings(), events, layout, _report, alone=True)
    for table, url in ((Table.PRODUCTS, products), (Table.CUSTOMERS, customers)):
        if url:
            _collect_table(url, layout, table)
    typer.echo(totals.summary())


def _report(text: str) -> None:
    typer.echo(text, err=True)
