"""The demo: load a shop, train and promote a version, predict nine days and measure feedback.

Airflow's scheduler does everything, as it does every morning; this module only starts runs and
waits. A second call continues, because Airflow and the ledger know what is done.
"""

from pathlib import Path

from rich.console import Console

from intent_tasks.core.anchors import available_training_days
from intent_tasks.errors import Refused
from intent_tasks.local import configuration, report
from intent_tasks.local.airflow_api import AirflowApi
from intent_tasks.local.installation import Installation
from intent_tasks.local.plan import Plan
from intent_tasks.local.progress import Progress
from intent_tasks.local.runs import DAILY, TRAIN, Runs
from intent_tasks.local.shop import Shop, choose_shop
from intent_tasks.local.supervisor_client import last_lines
from intent_tasks.local.up import lock_command, up
from intent_tasks.settings import Settings, load_settings
from intent_tasks.stores import ledger, registry

TIMES_FILE = "demo_times.json"


def demo(
    home: Path,
    events: Path | None,
    events_format: str | None,
    started_at: float | None,
    products: Path | None = None,
    customers: Path | None = None,
) -> None:
    """Run the demo to its end and print the results.

    Args:
        home: state folder.
        events: file of recorded events; None: a simulated shop.
        events_format: how the file is written, such as `retailrocket`.
        started_at: Unix time at which `make demo` started; None: now.
        products: file of what the recorded shop sells.
        customers: file of its customers, with their consent.

    Raises:
        IntentError: a part failed; the message says what to do, and a second call continues.
    """
    configuration.require_no_conflict(home)  # before anything is started
    shop = choose_shop(events, events_format, configuration.time_zone(home), products, customers)
    if shop.first_day:
        Plan(shop.last_day).require_history(shop.first_day)
    with lock_command(home, "demo"):
        progress = Progress(Console(), home / "logs" / TIMES_FILE, started_at)
        progress.print_line(shop.description)
        installation = _start(home, shop, progress)
        settings = load_settings()
        plan = Plan.of(settings, shop.last_day)
        runs = Runs(_airflow(installation), settings, progress.print_line)
        _train_and_promote(runs, plan, shop, progress)
        _predict(runs, plan, progress)
        report.print_report(progress.console, installation, settings, plan)
        progress.print_line(f"Finished after {progress.seconds():.0f} s.")


def _start(home: Path, shop: Shop, progress: Progress) -> Installation:
    with progress.phase("servers", "Starting PostgreSQL, MLflow and Airflow, loading the shop"):
        installation = up(home, shop.calendar, progress.print_line, shop.command)
    if shop.first_day:
        progress.print_line(last_lines(installation.logs / f"intent-{shop.command[0]}.log", 1))
    return installation


def _airflow(installation: Installation) -> AirflowApi:
    return AirflowApi(
        installation.address("airflow"), configuration.USER, installation.secrets.airflow
    )


def _train_and_promote(runs: Runs, plan: Plan, shop: Shop, progress: Progress) -> None:
    with progress.phase("dags", "Waiting until Airflow has read the DAGs"):
        runs.unpause()
    with progress.phase("training", f"Training as of {plan.trained_on} ({TRAIN})") as show_detail:
        runs.run(TRAIN, plan.trained_on, show_detail)
    version = _promote(runs.settings, plan, shop)
    progress.mark("promotion")
    progress.print_line(
        f"Version {version} is champion. [dim]Only the demo sets the alias for you. "
        "Promote later versions in the MLflow UI or with `intent promote`.[/dim]"
    )


def _promote(settings: Settings, plan: Plan, shop: Shop) -> int:
    champion: int | None = registry.champion(settings)
    if champion is not None:
        return champion
    receipt = ledger.receipt_of(settings, "register", plan.trained_on)
    if receipt is None:
        raise Refused(f"{TRAIN} registered no version for {plan.trained_on}; see the Airflow UI.")
    if receipt["gate"] != "passed":
        evaluated = ledger.receipt_of(settings, "evaluate", plan.trained_on) or {}
        raise Refused(
            f"Version {receipt['model_version']} did not pass the gate and is not promoted; "
            f"failed: {'; '.join(evaluated.get('failed_checks', []))}. Its evidence.html, at "
            f"{receipt['run_url']}, shows every check. {_advise(settings, plan, shop)}, and run "
            "the demo again after `make clean`."
        )
    registry.promote(settings, receipt["model_version"])
    return int(receipt["model_version"])


def _advise(settings: Settings, plan: Plan, shop: Shop) -> str:
    """Return what may let the next version pass: unused days first, then more history."""
    if shop.first_day:
        lag = settings.maturity_lag_days
        days = available_training_days(shop.first_day, plan.trained_on, lag)
        if days > settings.training_days:
            return (
                f"It was trained on {settings.training_days} of {days} days: set "
                f"INTENT_TRAINING_DAYS={days}"
            )
    return "Load more history, or another shop"


def _predict(runs: Runs, plan: Plan, progress: Progress) -> None:
    with progress.phase(
        "first predictions", f"Predicting {plan.first_day} ({DAILY})"
    ) as show_detail:
        runs.run(DAILY, plan.first_day, show_detail)
    progress.print_line("The first predictions can be queried: [bold]intent sql[/bold] or psql.")
    days = plan.recent_days
    progress.print_line(
        f"{len(days)} days are next, {runs.settings.max_active_runs} at a time. "
        "[dim]You can interrupt: the same command continues.[/dim]"
    )
    text = f"Predicting {days[0]} to {days[-1]}, by backfill"
    with progress.phase("backfill", text) as show_detail:
        runs.backfill(days, show_detail)
    with progress.phase("feedback", f"Measuring the outcomes known on {plan.today}") as show_detail:
        runs.feedback(plan.today, show_detail)
