"""Days that were missed, and days that were cut by another time zone."""

import typer

from intent_tasks.settings import load_settings
from intent_tasks.steps import last_day_over, run_step

app = typer.Typer()


@app.command()
def check_days() -> None:
    """Name the shop days that were never predicted; exit code 78 when there are some."""
    settings = load_settings()
    until = last_day_over(settings)
    run_step(settings, "watch", until, {})
    typer.echo(f"No shop day up to {until} is missing.")


@app.command()
def recut() -> None:
    """Copy days whose snapshots end at midnight of another time zone than INTENT_TIME_ZONE."""
    from intent_tasks.stores.extracting.recut import recut

    days = recut(load_settings(), lambda text: typer.echo(text, err=True))
    typer.echo(f"{len(days)} days were copied again." if days else "No day has to be copied again.")
