"""The recipes of docs/extending.md work: applied to a copy of the tree, as the page shows them."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

pytestmark = pytest.mark.database

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "extending.md"
PARTS = ("intent_tasks", "expectations", "dags", "plugins", "docs")


def _blocks(recipe, language):
    section = PAGE.read_text().split(f"\n## {recipe}\n")[1].split("\n## ")[0]
    return re.findall(rf"```{language}\n(.*?)```", section, re.DOTALL)


def _apply(diff, tree):
    """Apply one diff block: each hunk's old lines stand exactly once in the file."""
    first, *lines = diff.splitlines()
    path = tree / first.removeprefix("--- ")
    text = path.read_text() if path.exists() else ""
    for hunk in "\n".join(lines).split("\n@@\n"):
        old, new = (
            "".join(f"{line[1:]}\n" for line in hunk.split("\n") if line[:1] in ("", " ", sign))
            for sign in "-+"
        )
        assert text.count(old) == 1 or not text, f"{first}: {old}"
        text = text.replace(old, new) if text else new
    path.write_text(text)


@pytest.fixture
def tree(tmp_path, request):
    """A copy of the tree to which the recipe of the test is applied."""
    for part in PARTS:
        shutil.copytree(ROOT / part, tmp_path / "tree" / part)
    for diff in _blocks(request.param, "diff"):
        _apply(diff, tmp_path / "tree")
    return tmp_path / "tree"


def _run(tree, arguments, **variables):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=tree,
        env={**os.environ, "PYTHONPATH": str(tree), **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def _recipes(*titles):
    return pytest.mark.parametrize(
        ("tree", "title"), [(title, title) for title in titles], indirect=["tree"]
    )


@_recipes("Add a feedback metric", "Add an encoder", "Add an event type")
def test_the_check_of_a_recipe(tree, title):
    [check] = _blocks(title, "python")
    ended = _run(tree, ["-c", check])
    assert ended.returncode == 0, ended.stderr


@_recipes("Add an encoder")
def test_the_new_encoder_reads_steps_and_ignores_padding(tree, title):
    shutil.copytree(ROOT / "tests", tree / "tests")
    shutil.copytree(ROOT / "tools", tree / "tools")
    shutil.copy(ROOT / "pyproject.toml", tree)
    tests = ["tests/training/test_network.py", "-k", "encoder and lstm", "-p", "no:cacheprovider"]
    ended = _run(tree, ["-m", "pytest", "-q", *tests])
    assert ended.returncode == 0, ended.stdout[-3000:]


@pytest.mark.parametrize("tree", ["Add a step"], indirect=True)
def test_a_step(tree, settings):
    values = settings.model_dump(exclude_defaults=True)
    variables = {
        f"INTENT_{name.upper()}": v.get_secret_value() if isinstance(v, SecretStr) else str(v)
        for name, v in values.items()
    }
    [check] = _blocks("Add a step", "sh")
    ended = _run(tree, ["-m", "intent_tasks.cli", *check.split()[1:]], **variables)
    assert (ended.returncode, ended.stderr.split(".")[0]) == (
        78,
        "Refused: No customer is hot on 2026-06-30",
    )
    tasks = "import intent_watch as w; print(sorted(w.dag.task_ids))"
    folders = os.pathsep.join(str(tree / part) for part in ("", "dags", "plugins"))
    parsed = _run(tree, ["-c", tasks], AIRFLOW_HOME=str(tree / "airflow"), PYTHONPATH=folders)
    assert parsed.stdout.splitlines()[-1:] == ["['require_hot', 'watch']"], parsed.stderr
