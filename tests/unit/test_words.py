"""Names of the code use the terms of the glossary, not words that hide what a value is."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

FOLDERS = ("dags", "expectations", "intent_tasks", "plugins")

UNCLEAR = frozenset(
    {"said", "says", "say", "saying", "told", "tells", "tell", "telling", "asked", "asks", "ask",
     "lesson", "lessons", "theirs", "ours", "mine", "yours", "gone", "again", "kept", "whose",
     "whichever", "somebody", "beside", "among"}
)  # fmt: skip
"""Words that say nothing about the value, argument or function that they name."""

_ANSWER = "a record of consent says yes, no or nothing"
_KEY = "the key of a receipt, which users read"

ALLOWED = {
    "intent_tasks.stores.privacy.consent_record.says_yes": _ANSWER,
    "intent_tasks.stores.privacy.consent_record.KEPT": _KEY,
    "intent_tasks.stores.privacy.consent_record.require_kept": _KEY,
    "intent_tasks.stores.privacy.consent_record._is_kept": _KEY,
}
"""Dotted name → reason why the word is the right one."""


def words_of(name: str) -> set[str]:
    """Return the words of a name in snake case or camel case, in lower case."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def names_in(module: str, tree: ast.Module) -> Iterator[str]:
    """Yield the dotted names of a module, its functions, classes, arguments and constants."""
    yield module
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield f"{module}.{node.name}"
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{module}.{node.name}"
            arguments = node.args
            named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
            yield from (f"{module}.{node.name}.{argument.arg}" for argument in named)
    for statement in tree.body:
        targets = (
            statement.targets
            if isinstance(statement, ast.Assign)
            else [statement.target]
            if isinstance(statement, ast.AnnAssign)
            else []
        )
        for name in (part.id for target in targets for part in ast.walk(target)
                     if isinstance(part, ast.Name)):  # fmt: skip
            if name.isupper() and not name.startswith("_"):
                yield f"{module}.{name}"


def unclear_names(folder: Path, root: Path) -> list[str]:
    """Return the dotted names below a folder whose last part has an unclear word."""
    unclear = []
    for file in sorted(folder.rglob("*.py")):
        module = ".".join(file.relative_to(root).with_suffix("").parts)
        tree = ast.parse(file.read_text(encoding="utf-8"))
        unclear += [
            name
            for name in names_in(module, tree)
            if words_of(name.rpartition(".")[2]) & UNCLEAR and name not in ALLOWED
        ]
    return unclear


def test_no_name_uses_an_unclear_word():
    unclear = [name for folder in FOLDERS for name in unclear_names(ROOT / folder, ROOT)]

    assert unclear == [], "rename them with terms of docs/glossary.md, or allow them with a reason"


def test_modules_functions_classes_arguments_and_constants_are_checked(tmp_path):
    file = tmp_path / "told.py"
    file.write_text(
        "KEPT_ROWS, _GONE = 1, 2\n"
        "class SaysNo:\n"
        "    def ask(self, theirs, *, told_by=0):\n"
        "        said = theirs\n"
    )

    assert unclear_names(tmp_path, tmp_path) == [
        "told",
        "told.SaysNo",
        "told.ask",
        "told.ask.theirs",
        "told.ask.told_by",
        "told.KEPT_ROWS",
    ]
