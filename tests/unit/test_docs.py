"""The pages made from the code are those of this code, and what pages name exists."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from intent_tasks.settings import AirflowSettings, Settings

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
ROOTS = (ROOT, ROOT / "intent_tasks", ROOT / "docs")
"""Folders below which a page may name a file."""

FOLDERS = {path.name for root in ROOTS for path in root.iterdir() if path.is_dir()}
OTHER_SETTINGS = {"INTENT_DEBUG", "INTENT_DEMO_STARTED_AT"}
"""Variables that are read before the settings are."""

every_page = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(ROOT)).replace("/", "-")
)


def test_generated_pages_are_up_to_date():
    command = [sys.executable, "-m", "tools.docs.generate", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@every_page
def test_links_to_files_lead_to_files(page):
    targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    missing = [t for t in targets if "://" not in t and not (page.parent / t).exists()]
    assert missing == []


def anchors(page):
    """Return the anchors of a page's headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@every_page
def test_links_to_headings_lead_to_headings(page):
    links = re.findall(r"\]\(([^)#\s:]*)#([^)]+)\)", page.read_text(encoding="utf-8"))
    missing = [
        f"{target}#{anchor}"
        for target, anchor in links
        if anchor not in anchors(page.parent / target if target else page)
    ]
    assert missing == []


@every_page
def test_files_and_modules_that_a_page_names_exist(page):
    code = " ".join(re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")))
    modules = re.findall(r"\b(?:benchmarks|expectations|intent_tasks|tools)\.[a-z_.]+\w", code)
    names = re.findall(r"(?<![\w./-])[a-z_]+(?:/[a-z0-9_.-]+)+(?![\w/])", code)
    paths = [name for name in names if name.split("/")[0] in FOLDERS]
    missing = [p for p in paths if not any((root / p).exists() for root in ROOTS)]
    missing += [m for m in modules if not is_named_in_code(m)]
    assert missing == []


def is_named_in_code(name):
    """Return whether a dotted name is a module, or an attribute of one, by its source."""
    path = ROOT / name.replace(".", "/")
    if path.is_dir() or path.with_suffix(".py").exists():
        return True
    module = path.parent.with_suffix(".py")
    return module.exists() and path.name in module.read_text(encoding="utf-8")


@every_page
def test_settings_that_a_page_names_exist(page):
    fields = {**AirflowSettings.model_fields, **Settings.model_fields}
    known = {f"INTENT_{name.upper()}" for name in fields} | OTHER_SETTINGS
    named = set(re.findall(r"INTENT_[A-Z_]*[A-Z]", page.read_text(encoding="utf-8")))
    assert named - known == set()
