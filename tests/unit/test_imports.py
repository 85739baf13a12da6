"""Tests, benchmarks and tools import each other in one way only, and benchmarks need no tools."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = sorted(p.stem for p in (ROOT / "benchmarks").glob("*.py") if p.stem != "__init__")

USAGE = """
import importlib.abc, runpy, sys

class Absent(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("tests", "pytest", "_pytest", "hypothesis"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
for name in sys.argv[1:]:
    print("==", name, flush=True)
    sys.argv = [name, "--help"]
    try:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__")
    except SystemExit as ended:
        assert not ended.code, f"{name} ended with {ended.code}"
    else:
        raise AssertionError(f"{name} has no usage")
"""


def imported(file: Path) -> set[str]:
    """Return the modules that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("tests", {"benchmarks"}),
        ("benchmarks", {"tests", "pytest"}),
        ("tools", {"tests", "pytest", "benchmarks"}),
        ("intent_tasks", {"tests", "pytest", "benchmarks", "tools"}),
    ],
)
def test_folders_import_one_way(folder, forbidden):
    wrong = {
        f"{file.relative_to(ROOT)}: {name}"
        for file in (ROOT / folder).rglob("*.py")
        for name in imported(file)
        if name.partition(".")[0] in forbidden
    }
    assert wrong == set()


def test_no_benchmark_imports_another_benchmark():

    wrong = {
        f"{file.name}: {name}"
        for file in (ROOT / "benchmarks").rglob("*.py")
        for name in imported(file)
        if name.startswith("benchmarks.") and not name.startswith("benchmarks.support")
    }
    assert wrong == set()


def test_every_benchmark_prints_its_usage_without_development_tools():
    done = subprocess.run(
        [sys.executable, "-c", USAGE, *BENCHMARKS],
        cwd=ROOT,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-2000:]
    for name, page in zip(BENCHMARKS, done.stdout.split("== ")[1:], strict=True):
        assert "usage:" in page, name
        assert f"benchmarks.{name}" in page, name
