"""Write `docs/dags.md` from the docstrings of the DAG files; with `--check`, only compare."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dags.md"

HEAD = """# The DAGs

*Generated from the docstrings in `dags/` by `python docs/generate_dags.py`; Airflow shows the same
text with each DAG.*
"""


def page() -> str:
    """Return the page: one chapter a DAG file."""
    chapters = [HEAD]
    for file in sorted((ROOT / "dags").glob("*.py")):
        docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
        chapters.append(f"## {file.stem}\n\n{docstring}\n")
    return "\n".join(chapters)


def main() -> None:
    """Write the page or say that it is stale."""
    if "--check" not in sys.argv:
        PAGE.write_text(page(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/dags.md is stale: run `python docs/generate_dags.py`")


if __name__ == "__main__":
    main()
