"""Commands about missed days, and about days that end in another time zone."""

import typer

from intent_tasks.settings import Settings, load_settings
from intent_tasks.steps import last_day_over, run_step

app = typer.Typer()


@app.command()
def check_days() -> None:
    """List the shop days that were never predicted; the exit code is 78 if there are any."""
    settings = load_settings()
    until = last_day_over(settings)
    run_step(settings, "watch", until, {})
    if _has_published(settings):
        typer.echo(f"No shop day up to {until} is missing.")
    else:
        typer.echo("Nothing was published yet: days count from the first one that is published.")


def _has_published(settings: Settings) -> bool:
    import sqlalchemy as sa

    from intent_tasks.stores import postgres
    from intent_tasks.tables import runs

    with postgres.reading(settings.pipeline_url) as connection:
        return bool(connection.scalar(sa.select(sa.exists().where(runs.c.step == "publish"))))


@app.command()
def recut() -> None:
    """Copy again the days whose snapshots end at midnight of another zone than INTENT_TIME_ZONE."""
    from intent_tasks.stores.extracting.recut import recut

    days = recut(load_settings(), lambda text: typer.echo(text, err=True))
    typer.echo(f"{len(days)} days were copied again." if days else "No day has to be copied again.")
