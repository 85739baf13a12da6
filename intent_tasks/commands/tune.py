"""`intent tune`: search for better settings of the network."""

from datetime import date
from typing import Annotated, Any

import typer

from intent_tasks.commands.arguments import day
from intent_tasks.errors import BadInput
from intent_tasks.settings import Settings, load_settings

app = typer.Typer()


@app.command()
def tune(
    as_of_date: Annotated[str, typer.Option(help="shop day of the window to train on, YYYY-MM-DD")],
    minutes: Annotated[float, typer.Option(help="no trial starts after this time")] = 30.0,
) -> None:
    """Search for better settings of the network on the window of a day: docs/model.md."""
    if minutes <= 0:
        raise BadInput(f"--minutes is {minutes}; it must be more than 0.")
    best = _search(load_settings(), day(as_of_date), 60 * minutes)
    typer.echo(
        f"{best['trials']} trials; lowest validation loss {best['validation_loss']:.4f} with:"
    )
    for name in ("encoder", "width", "learning_rate", "weight_decay"):
        typer.echo(f"  {name}: {best[name]}")


def _search(settings: Settings, as_of_date: date, seconds: float) -> dict[str, Any]:
    from intent_tasks.core.dataset import SPLITS
    from intent_tasks.models.sizes import size_of
    from intent_tasks.stores import training_window
    from intent_tasks.stores.privacy import consent

    size = size_of(settings.model_size, settings.model_encoder)
    window = training_window.read_window(settings, as_of_date)
    dataset = training_window.open_dataset(settings, window, consent.learnable(settings))
    dataset.learn_vocabulary()
    from intent_tasks.models import fit_models, tuning

    samples = fit_models.Samples()
    summary = dataset.summarize(samples.add)
    summary.require_buyers()
    baselines = fit_models.fit_baselines(samples, settings.seed)
    del samples
    shared = tuning.Search(
        settings.model_encoder,
        size,
        dataset.vocabulary,
        {split: dataset.source(split) for split in SPLITS},
        summary,
        baselines,
        settings.seed,
    )
    return tuning.search(shared, seconds, lambda line: typer.echo(line, err=True))
