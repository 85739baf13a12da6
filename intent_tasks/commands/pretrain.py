"""`intent pretrain`: pretrain the encoder on the next event of all customers."""

from typing import Annotated

import typer

from intent_tasks.commands.arguments import day
from intent_tasks.settings import load_settings

app = typer.Typer()


@app.command()
def pretrain(
    as_of_date: Annotated[str, typer.Option(help="shop day of the window, YYYY-MM-DD")],
) -> None:
    """Pretrain the encoder on all events of a window: docs/pretraining.md.

    The command works with any INTENT_PRETRAINED; training uses the weights only if it is true.
    """
    from intent_tasks.steps import receipt_line, run_step

    settings = load_settings().model_copy(update={"pretrained": True})
    receipt = run_step(settings, "pretrain", day(as_of_date), {})
    typer.echo(receipt_line(receipt))
