"""Pages inside Airflow, for users who may see the tasks of `intent_daily`.

- `/intent/data_docs/…`: the pages of Great Expectations, and no other file of the state folder.
- `/intent/rows/STEP/DAY`: the SQL that shows the rows a step wrote. Running it needs a log-in to
  the database, so Airflow alone shows no customer.
"""

from contextlib import suppress
from datetime import date
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity
from airflow.api_fastapi.core_api.security import requires_access_dag
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from intent_links import page
from sqlalchemy.dialects import postgresql

from intent_tasks.settings import state_folder
from intent_tasks.steps import STEPS
from intent_tasks.tables import feedback_metrics, outcomes, predictions, runs

SHOWN_ROWS = 100


PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body{{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}}
pre{{background:#f2f4f3;color:#111;padding:1rem;overflow-x:auto}}</style>
<h1>{title}</h1>{body}"""

app = FastAPI(
    title="Intent",
    openapi_url=None,
    dependencies=[
        Depends(requires_access_dag("GET", DagAccessEntity.TASK_INSTANCE, "intent_daily"))
    ],
)


@app.exception_handler(401)
def log_in(request: Request, error: HTTPException) -> Response:
    """Redirect a browser that is not logged in to Airflow's log-in, and back."""
    query = urlencode({"next": str(request.url)})
    return RedirectResponse(f"{page('').removesuffix('/intent/')}/api/v2/auth/login?{query}")


@app.get("/data_docs/{name:path}")
def data_docs(name: str) -> Response:
    """Serve one file of the Data Docs."""
    file = _page_of(state_folder() / "data_docs", name)
    if file is None:
        message = "No such page. Data Docs are written by the step validate of intent_daily."
        raise HTTPException(404, message)
    return FileResponse(file)


def _page_of(folder: Path, name: str) -> Path | None:
    """Return a file below a folder; None if there is none or the name is invalid."""
    with suppress(OSError, ValueError):  # the name is too long or contains a NUL
        file = (folder / name).resolve()
        if file.is_relative_to(folder.resolve()) and file.is_file():
            return file
    return None


@app.get("/rows/{step}/{as_of_date}")
def rows(step: str, as_of_date: date) -> HTMLResponse:
    """Show the SQL that lists the rows which a step wrote for a shop day."""
    if step not in STEPS:
        raise HTTPException(422, f"There is no such step. Steps: {', '.join(STEPS)}.")
    blocks = [
        f"<h2>{escape(title)}</h2><pre>{escape(_text(statement))}</pre>"
        for title, statement in statements(step, as_of_date).items()
    ]
    hint = "<p>Copy a statement to your SQL client, or run it with <code>intent sql</code>.</p>"
    title = f"Rows that {step} wrote for {as_of_date}"
    return HTMLResponse(PAGE.format(title=title, body=hint + "".join(blocks)))


def statements(step: str, day: date) -> dict[str, sa.Select[Any]]:
    """Return, by title, the queries of the rows which a step wrote for a shop day."""
    queries = {
        title: _select_all(table).where(table.c[column] == day).order_by(sa.desc(order))
        for name, title, table, column, order in (
            ("publish", "Predictions, hottest first", predictions, "as_of_date", "probability_7d"),
            ("mature", "Outcomes", outcomes, "known_until", "as_of_date"),
            ("measure", "Metrics", feedback_metrics, "known_until", "as_of_date"),
        )
        if name == step
    }
    ledger = _select_all(runs).where(runs.c.step == step, runs.c.as_of_date == day)
    return {
        title: query.limit(SHOWN_ROWS)
        for title, query in (queries | {"Receipt in the ledger": ledger}).items()
    }


def _select_all(table: sa.Table) -> sa.Select[Any]:
    return sa.select(sa.literal_column("*")).select_from(table)


def _text(statement: sa.Select[Any]) -> str:
    dialect: sa.Dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    return str(statement.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
