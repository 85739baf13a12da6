"""Erase a customer, export a list, rotate the identity key, purge old data."""

import getpass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from intent_tasks.commands.arguments import day
from intent_tasks.errors import BadInput
from intent_tasks.settings import load_settings
from intent_tasks.steps import run_step

if TYPE_CHECKING:
    from intent_tasks.stores.privacy.erasure import Erased

app = typer.Typer()


@app.command()
def erase(
    customer: Annotated[str | None, typer.Argument(help="the shop's id of the customer")] = None,
    file: Annotated[Path | None, typer.Option(help="file of ids, one a line")] = None,
    even_if_unknown: Annotated[
        bool, typer.Option(help="also write a tombstone for an unknown customer")
    ] = False,
) -> None:
    """Remove customers from every place, and name the model versions trained on their events.

    A tombstone keeps their later events out.
    """
    from intent_tasks.stores.privacy import erasure

    ids = _ids(customer, file)
    settings = load_settings()
    known = erasure.known(settings, ids)
    unknown = [name for name in ids if name not in known]
    if unknown and not even_if_unknown:
        raise BadInput(
            f"{len(unknown)} of {len(ids)} customers are not known here, first {unknown[0]!r}: "
            "nothing was erased. Check the id, or add --even-if-unknown: what may still be set "
            "aside of them is removed, and a tombstone keeps them out from now on."
        )
    for one in erasure.erase(settings, ids, lambda text: typer.echo(f"… {text}", err=True)):
        typer.echo(_describe(one))


@app.command()
def export(
    as_of_date: Annotated[str, typer.Option(help="shop day of the predictions, YYYY-MM-DD")],
    purpose: Annotated[str, typer.Option(help="personalisation or marketing")],
    to: Annotated[
        Path, typer.Option(help="new .csv or .parquet; by default in INTENT_HOME/exports")
    ],
    band: Annotated[str | None, typer.Option(help="hot, warm, cool or cold; else all")] = None,
    by: Annotated[str | None, typer.Option(help="who receives it; by default this account")] = None,
    raw: Annotated[
        bool, typer.Option("--raw", help="write texts unchanged; not safe for spreadsheets")
    ] = False,
) -> None:
    """Write a list of predicted customers who agree to a purpose, and record the file.

    In a CSV an apostrophe precedes each text that a spreadsheet would run as a formula, unless you
    give --raw.
    """
    from intent_tasks.stores.privacy import exporting

    wanted = exporting.List(day(as_of_date), purpose, band, to, by or getpass.getuser(), raw)
    made = exporting.export(load_settings(), wanted)
    typer.echo(
        f"{made.customers} customers in {made.path}; {made.without_consent} were left out because "
        f"they do not agree to {purpose}."
    )


AsOfDate = Annotated[str, typer.Option(help="shop day, YYYY-MM-DD, that the limits count from")]
DryRun = Annotated[bool, typer.Option(help="only print what would be deleted")]


@app.command()
def purge(as_of_date: AsOfDate, dry_run: DryRun = False) -> None:
    """Delete data that is older than the limit of its place, as the DAG intent_retention does."""
    receipt = run_step(load_settings(), "retain", day(as_of_date), {"dry_run": dry_run})
    verb = "would be deleted" if dry_run else "deleted"
    for place, count in receipt["removed"].items():
        typer.echo(f"{place}: {count} {verb}")


@app.command(hidden=True)
def retain(as_of_date: AsOfDate, dry_run: DryRun = False) -> None:
    """Do the same as `intent purge`; this old name goes with the next release."""
    typer.echo(
        "`intent retain` is now `intent purge`; the next release drops the old name.", err=True
    )
    purge(as_of_date, dry_run)


@app.command(name="rotate-key")
def rotate_key() -> None:
    """Rewrite all customer keys after a change of INTENT_IDENTITY_KEY and INTENT_IDENTITY_KEY_ID.

    Put the old key into INTENT_PREVIOUS_IDENTITY_KEYS, and keep it there while tombstones use it.
    Pause the DAGs first. After a kill, run the command again: it continues.
    """
    from intent_tasks.stores.privacy import rotation

    done = rotation.rotate(load_settings(), lambda text: typer.echo(f"… {text}", err=True))
    typer.echo(
        f"{done['customers']} customers, {done['days']} snapshots and {done['files']} files of "
        "training have new keys. Scores of days that are not published are computed again."
    )


def _ids(customer: str | None, file: Path | None) -> list[str]:
    if (customer is None) == (file is None):
        raise BadInput("Name one customer, or a file of them with --file.")
    named = [customer or ""] if file is None else _lines(file)
    ids = list(dict.fromkeys(name for name in named if name.strip()))
    if not ids:
        raise BadInput(f"{file} holds no id." if file else "The customer id is empty.")
    if broken := [name for name in ids if "\0" in name]:
        raise BadInput(f"{broken[0]!r} holds a NUL, which no id in Postgres can.")
    if file is not None and len(ids) < len(named):
        typer.echo(f"{len(named) - len(ids)} lines are empty or name a customer again.", err=True)
    return ids


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file} is not UTF-8 text with one id a line.") from None


def _describe(erased: "Erased") -> str:
    parts = [f"{rows} of {place}" for place, rows in erased.removed.items()]
    text = f"{erased.customer_id}: removed {', '.join(parts) or 'nothing'}"
    if not erased.known:
        text += "; nobody here by that id, a tombstone is left"
    if erased.erased_before:
        text += f"; erased before, on {erased.erased_before:%Y-%m-%d}"
    versions = ", ".join(map(str, erased.model_versions)) or "none"
    return f"{text}. Model versions trained with them: {versions}."
