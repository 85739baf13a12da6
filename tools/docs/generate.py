"""Generate `dags.md`, `tables.md` and `settings.md`; `--check` only compares.

They come from the docstrings of the DAG files, the tables and the settings.
"""

import ast
import sys
from itertools import pairwise
from pathlib import Path

import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.dialects import postgresql

import intent_tasks.lock_tables  # noqa: F401 - two of the tables
from intent_tasks.settings import Settings
from intent_tasks.tables import intent_metadata, shop_metadata

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]
GENERATED_FROM = "*Generated from {source} by `make docs`.*\n"


def dags() -> str:
    """Return the page of the DAGs: one chapter a file."""
    source = "the docstrings in `dags/`; Airflow shows the same text"
    chapters = ["# The DAGs\n", GENERATED_FROM.format(source=source)]
    for file in sorted((ROOT / "dags").glob("*.py")):
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        chapters.append(f"## {file.stem}\n\n{docstring}\n")
    return "\n".join(chapters)


def tables() -> str:
    """Return the page of the tables: one chapter a table."""
    chapters = ["# Tables\n", GENERATED_FROM.format(source="`intent_tasks/tables.py`"), VIEWS]
    for title, metadata in (
        ("Schema shop: what we read", shop_metadata),
        ("Schema intent: what we write", intent_metadata),
    ):
        chapters.append(f"## {title}\n")
        chapters += [_table(table) for table in metadata.tables.values()]
    return "\n".join(chapters)


VIEWS = """For analysts: `intent.latest_predictions` is the newest day of the champion,
`intent.model_scorecard` the newest restatement of every metric, and `intent.freshness` the last day
of each step.
"""


def _table(table: sa.Table) -> str:
    key = ", ".join(column.name for column in table.primary_key)
    lines = [f"### {table.fullname}\n", f"{table.comment}" + (f" Key: {key}.\n" if key else "\n")]
    lines += ["| column | type | null | meaning |", "|---|---|---|---|"]
    for column in table.columns:
        kind = column.type.compile(DIALECT).lower()
        null = "yes" if column.nullable else "no"
        lines.append(f"| `{column.name}` | {kind} | {null} | {column.comment} |")
    return "\n".join(lines) + "\n"


def settings() -> str:
    """Return the page of the settings."""
    source = GENERATED_FROM.format(source="`intent_tasks/settings.py`")
    lines = ["# Settings\n", source, INTRODUCTION, "| name | default | meaning |"]
    lines.append("|---|---|---|")
    meanings = _attribute_docstrings(ROOT / "intent_tasks" / "settings.py")
    for name, field in Settings.model_fields.items():
        secret = " Secret." if SecretStr in _types(field.annotation) else ""
        default = "required" if field.is_required() else _default(name, field.default)
        meaning = " ".join(meanings[name].split())
        lines.append(f"| `INTENT_{name.upper()}` | {default} | {meaning}{secret} |")
    return "\n".join(lines) + "\n"


def _attribute_docstrings(file: Path) -> dict[str, str]:
    """Return attribute → docstring of the classes in a file."""
    classes = (node for node in ast.parse(file.read_text()).body if isinstance(node, ast.ClassDef))
    return {
        field.target.id: docstring.value.value
        for node in classes
        for field, docstring in pairwise(node.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(docstring, ast.Expr)
        and isinstance(docstring.value, ast.Constant)
        and isinstance(docstring.value.value, str)
    }


INTRODUCTION = """Settings are read from the environment and from `intent.env` in the state folder
(`INTENT_HOME`, by default `.intent`); the environment wins. `make demo` and `intent up` write that
file for this machine. They add the settings of their environment and keep the lines that you add or
change; they set addresses, log-ins, INTENT_MANIFEST_KEY and INTENT_LAST_DAY themselves.
`docker-compose.yml` sets the settings of its services.
"""


def _types(annotation: object) -> tuple[object, ...]:
    return getattr(annotation, "__args__", (annotation,))


def _default(name: str, value: object) -> str:
    if name == "python":
        return "the current interpreter"
    return "none" if isinstance(value, SecretStr) or value in (None, "") else f"`{value}`"


def main() -> None:
    """Write all pages, or exit with the names of those that are stale."""
    pages = {f"{page.__name__}.md": page() for page in (dags, tables, settings)}
    if "--check" not in sys.argv:
        for name, text in pages.items():
            (DOCS / name).write_text(text, encoding="utf-8")
        return
    stale = [name for name, text in pages.items() if not _has_text(DOCS / name, text)]
    if stale:
        sys.exit(f"Stale in docs/: {', '.join(stale)}. Run `make docs`.")


def _has_text(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    main()
