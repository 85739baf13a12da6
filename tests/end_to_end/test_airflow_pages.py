"""The pages of the product in Airflow, in a real browser."""

import json
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from tools.testbed.airflow_server import LAST_DAY

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.end_to_end,
    pytest.mark.skipif(CHROMIUM is None, reason="needs the program chromium"),
]

RUN = "seen_in_a_browser"


@pytest.fixture(scope="module")
def page(airflow):
    """A page that is not logged in, after one day has run."""
    docs = airflow.home / "data_docs"
    docs.mkdir(exist_ok=True)
    for name in ("day.html", "index.html"):
        (docs / name).write_text("<h1>What was checked</h1>")
    airflow.api.trigger("intent_daily", RUN, {"as_of_date": str(LAST_DAY)})
    airflow.wait_for_run("intent_daily", RUN)
    with sync_playwright() as playwright:
        # Root, as in a container, may not use the browser's own sandbox.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(base_url=str(airflow.http.base_url))
        browser.close()


def open_task(page, name):
    page.goto(f"/dags/intent_daily/runs/{RUN}/tasks/{name}/details")


def test_a_page_is_shown_after_the_log_in(page, airflow):
    page.goto(f"/intent/rows/publish/{LAST_DAY}")
    password = json.loads((airflow.home / "airflow" / "passwords.json").read_text())["admin"]
    page.fill("input[name=username]", "admin")
    page.fill("input[name=password]", password)
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text(f"Rows that publish wrote for {LAST_DAY}")
    expect(page.locator("pre").first).to_contain_text("FROM intent.predictions")


def test_the_manual_of_the_dag_is_one_click_away(page):
    page.goto("/dags/intent_daily")
    page.get_by_role("button", name="Dag Docs").click()
    expect(page.get_by_text("How to resume.")).to_be_visible()


def test_the_buttons_of_a_task_lead_to_its_pages(page):
    open_task(page, "validate")
    page.get_by_role("link", name="Data Docs").click()
    expect(page.locator("h1")).to_have_text("What was checked")
    open_task(page, "publish")
    page.get_by_role("link", name="Rows written").click()
    expect(page.locator("h1")).to_have_text(f"Rows that publish wrote for {LAST_DAY}")


def test_data_docs_are_in_the_menu(page):
    page.goto("/")
    page.get_by_role("button", name="Browse").click()
    page.get_by_role("menuitem", name="Data Docs").click()
    expect(page.frame_locator("iframe").locator("h1")).to_have_text("What was checked")
