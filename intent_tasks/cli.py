"""Run the pipeline's steps, and administer the installation, without Airflow."""

import json
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from intent_tasks import bug_report, failures
from intent_tasks.commands import (
    collect,
    contract,
    days,
    pretrain,
    privacy,
    quarantine,
    tune,
)
from intent_tasks.commands.arguments import day as _day
from intent_tasks.errors import BadInput, IntentError, Refused
from intent_tasks.parent_watch import end_when_closed
from intent_tasks.redaction import redact_address
from intent_tasks.settings import load_settings, state_folder
from intent_tasks.steps import STEPS, receipt_line, run_step

if TYPE_CHECKING:
    from intent_tasks import simulator

app = typer.Typer(
    help=__doc__, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False
)

app.add_typer(privacy.app)
app.add_typer(contract.app, name="contract")
app.add_typer(collect.app)
app.add_typer(pretrain.app)
app.add_typer(tune.app)
app.add_typer(quarantine.app, name="quarantine")
app.add_typer(days.app)

USAGE, INTERRUPTED = 2, 130
"""Exit codes of the command-line library: wrong arguments, and Ctrl-C."""


@app.callback()
def _commands() -> None:
    """Keep `step` a command of its own."""


def _options(text: str) -> dict[str, Any]:
    try:
        options = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"--json is not JSON: {error}.") from None
    if not isinstance(options, dict):
        raise BadInput("--json must be an object, such as '{\"model_version\": 3}'.")
    return options


@app.command(help="Run one step.\n\n" + "\n\n".join(f"{k}: {v}." for k, v in STEPS.items()))
def step(
    name: str,
    as_of_date: Annotated[str, typer.Option(help="shop day, YYYY-MM-DD")],
    bucket: Annotated[int | None, typer.Option(help="bucket of customers")] = None,
    options_json: Annotated[str, typer.Option("--json", help="options of the step")] = "{}",
    until_stdin_closes: Annotated[bool, typer.Option(help="end when the caller ends")] = False,
) -> None:
    """Run one step; the last line of stdout is its receipt."""
    if until_stdin_closes:
        end_when_closed()
    options = _options(options_json)
    if bucket is not None:
        options["bucket"] = bucket
    receipt = run_step(load_settings(), name, _day(as_of_date), options)
    typer.echo(receipt_line(receipt))


@app.command()
def migrate() -> None:
    """Migrate schema `intent` to the newest version."""
    from intent_tasks.stores.migrate import migrate

    migrate(load_settings())


def _list_plants(wanted: bool) -> None:
    if wanted:
        from intent_tasks.simulator import planted

        typer.echo(planted.describe())
        raise typer.Exit


@app.command()
def simulate(
    to: Annotated[str, typer.Option(help="`shop`: schema shop; else a folder, as Parquet")],
    customers: Annotated[int, typer.Option(help="number of customers")] = 4000,
    days: Annotated[int, typer.Option(help="shop days, up to and including last-day")] = 120,
    last_day: Annotated[str, typer.Option(help="last shop day, YYYY-MM-DD")] = "2026-06-30",
    seed: Annotated[int, typer.Option(help="the same seed makes the same rows")] = 7,
    plant: Annotated[list[str] | None, typer.Option(help="NAME or NAME=AMOUNT, see above")] = None,
    _: Annotated[
        bool, typer.Option("--plants", help="list what can be planted", callback=_list_plants)
    ] = False,
) -> None:
    """Simulate a shop in which the intent of each customer is known.

    On each day a customer is dormant, browsing, comparing, ready or sated;
    their events follow from that. The command writes events, products and
    customers. All other parameters: intent_tasks/simulator/config.py.

    Use --plant, several times if you like, to plant faults and changes. The
    file answers.parquet, in the folder or INTENT_HOME, lists what was planted.

    Plants: peak, drift, sale, price_jump, inflation, mix, coupon, late,
    duplicates, refunds, bots, heavy, units, time_zone, half_day and poison;
    --plants lists the effect and the usual amount of each.
    """
    from intent_tasks import simulator
    from intent_tasks.simulator import planted

    config = simulator.Config(customers=customers, days=days, last_day=_day(last_day), seed=seed)
    plants = planted.parse(plant or [])
    if not to:
        raise BadInput("--to is empty; name a folder, or `shop` for schema shop.")
    if to == "shop":
        rows = _simulated_shop(config, plants)
    else:
        rows = simulator.write(config, Path(to), plants)
    typer.echo(f"{rows} events written." if rows else "This shop is already loaded.")


def _simulated_shop(config: "simulator.Config", plants: dict[str, float]) -> int:
    from intent_tasks import simulator
    from intent_tasks.stores import simulated_shop

    settings = load_settings()
    made = simulator.PlantedShop(config, plants, for_postgres=True)
    rows = simulated_shop.load(
        settings,
        "simulated shop",
        simulator.digest(config, plants),
        made.events(),
        simulator.catalogue(config),
        simulator.customers(config),
    )
    if rows and plants:
        simulator.write_answers(made, settings.home)
    return rows


@app.command()
def sql(query: Annotated[str, typer.Argument(help="one statement, such as: select …")]) -> None:
    """Run a read-only query as the analyst, and print the result as CSV."""
    from intent_tasks.stores.analyst_query import query_as_csv

    typer.echo(query_as_csv(load_settings().analyst_url, query), nl=False)


@app.command()
def promote(version: int) -> None:
    """Give a model version the alias champion, as the MLflow UI does."""
    from intent_tasks.stores import registry

    settings = load_settings()
    registry.promote(settings, version)
    typer.echo(f"Version {version} of {settings.model_name} is champion from the next day on.")


@app.command(name="check-source")
def check_source() -> None:
    """Check the shop's tables: what is missing, what it costs, and whether there is enough history.

    The exit code is 78 when a problem keeps the system from working.
    """
    from intent_tasks.commands import check_source

    check_source.check_source()


@app.command(name="up")
def start(
    last_day: Annotated[str | None, typer.Option(help="last day of a recorded shop")] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="IANA time zone of the shop, else INTENT_TIME_ZONE")
    ] = None,
) -> None:
    """Start PostgreSQL, MLflow and Airflow on this machine, with all state in INTENT_HOME.

    The command copies the settings of the environment to intent.env there; they apply from then on.
    """
    from intent_tasks.local.up import calendar_of, up

    home = state_folder()
    calendar = calendar_of(home, time_zone, _day(last_day) if last_day else None)
    installation = up(home, calendar, typer.echo)
    typer.echo(
        f"Airflow {installation.address('airflow')}, MLflow {installation.address('mlflow')}"
    )


@app.command(name="down")
def stop(
    delete: Annotated[bool, typer.Option(help="also remove all data")] = False,
) -> None:
    """Stop the servers that `up` started."""
    from intent_tasks.local import up

    ran = (up.delete if delete else up.down)(state_folder(), typer.echo)
    typer.echo("All servers are stopped." if ran else "No server was running.")


@app.command()
def status() -> None:
    """Show the servers, the champion, and the last day of data, predictions and feedback."""
    from intent_tasks.local.status import status

    status(state_folder(), typer.echo)


@app.command()
def demo(
    events: Annotated[
        Path | None, typer.Option(help="file of recorded events; default: a simulated shop")
    ] = None,
    layout: Annotated[str | None, typer.Option("--format", help="format of that file")] = None,
    products: Annotated[Path | None, typer.Option(help="file of the products of that shop")] = None,
    customers: Annotated[Path | None, typer.Option(help="file of its customers")] = None,
) -> None:
    """Train, promote, predict nine days and measure them, through Airflow; servers stay up."""
    from intent_tasks.local.demo import demo

    begun = os.environ.get("INTENT_DEMO_STARTED_AT")
    started_at = float(begun) if begun else None
    demo(state_folder(), events, layout, started_at, products, customers)


def main() -> None:
    """Run the command line; a failure ends with a message and an exit code, without traceback."""
    os.umask(0o077)  # nobody else may read the files we write
    try:
        _check_arguments(sys.argv[1:])
        with _progress_on_stderr():
            app()
    except SystemExit as ended:
        sys.exit(Refused.exit_code if ended.code == USAGE else ended.code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except Exception as error:
        if isinstance(error, OSError) and _is_of_output(error):
            error.filename = "the standard output"
        _end(failures.of(error) or bug_report.written(error, state_folder()))


def _is_of_output(error: OSError) -> bool:
    """Return True if an error without a file was raised while something was printed."""
    frames = (frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__))
    return error.filename is None and typer.echo.__code__ in frames


@contextmanager
def _progress_on_stderr() -> Iterator[None]:
    """Write what our own modules log to stderr; stdout is for results."""
    ours, handler = logging.getLogger("intent_tasks"), logging.StreamHandler()
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    ours.propagate = False
    try:
        yield
    finally:
        ours.removeHandler(handler)


def _check_arguments(arguments: list[str]) -> None:
    """Refuse arguments that no file, database or server can store, before a command runs."""
    for argument in arguments:
        if "\0" in argument or not _is_text(argument):
            shown = ascii(redact_address(argument))[:100]
            raise BadInput(f"The argument {shown} holds a NUL or is not UTF-8. Write it anew.")


def _is_text(argument: str) -> bool:
    try:
        argument.encode()
    except UnicodeEncodeError:
        return False
    return True


def _end(error: IntentError) -> NoReturn:
    if error.page:
        typer.echo(receipt_line({"data_docs": error.page}))
    typer.echo(f"{type(error).__name__}: {error}", err=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
