"""`intent pretrain`: learn from all events what comes next, before purchases are learned."""

from typing import Annotated

import typer

from intent_tasks.commands.arguments import day
from intent_tasks.settings import load_settings

app = typer.Typer()


@app.command()
def pretrain(
    as_of_date: Annotated[str, typer.Option(help="shop day of a window, YYYY-MM-DD")],
) -> None:
    """Learn from all events of a window what comes next: docs/pretraining.md.

    With INTENT_PRETRAINED=true, training on that window begins with it.
    """
    from intent_tasks.steps import receipt_line, run_step

    receipt = run_step(load_settings(), "pretrain", day(as_of_date), {})
    typer.echo(receipt_line(receipt))
