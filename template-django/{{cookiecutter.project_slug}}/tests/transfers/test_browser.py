"""How a list of students comes in, in a real browser."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from apps.schools.models import Role
from tests.browser import enter, screenshot
from tests.schools.factories import make_class, make_member, make_school

pytestmark = pytest.mark.slow

GOOD = "number,first name,last name,birth date,class\n1,Zoë,Lindgren,2012-05-31,5b\n"


@pytest.fixture
def site(live_server: LiveServer, transactional_db: None) -> str:
    return str(live_server.url)


def test_a_head_sees_two_bad_rows_mends_the_file_and_imports_it(
    page: Page,
    site: str,
    tmp_path: Path,
) -> None:
    school = make_school()
    make_class(school, name="5b")
    file = tmp_path / "students.csv"
    enter(page, site, make_member(school, Role.HEAD, "head"))

    page.goto(f"{site}/admin/schools/student/import/")
    file.write_text(GOOD + "2,Max,Berg,yesterday,5b\n3,Ida,Moen,2012-01-02,9z\n", "utf-8")
    send(page, file)
    expect(page.get_by_role("row", name="3 birth date “yesterday” is no date")).to_be_visible()
    expect(page.get_by_role("row", name="4 class There is no class “9z”.")).to_be_visible()
    screenshot(page, "import-errors")

    page.get_by_role("button", name="Upload another file").click()
    file.write_text(GOOD + "2,Max,Berg,2012-03-04,5b\n3,Ida,Moen,2012-01-02,5b\n", "utf-8")
    send(page, file)
    expect(page.get_by_text("3 new, 0 changed, 0 unchanged.")).to_be_visible()
    screenshot(page, "import-preview")

    page.get_by_role("button", name="Confirm import").click()
    expect(page.get_by_text("Imported: 3 new")).to_be_visible()
    page.get_by_role("link", name="To the list of students").click()
    expect(page.get_by_text("Lindgren")).to_be_visible()
    expect(page.get_by_text("Moen")).to_be_visible()
    screenshot(page, "import-done")


def send(page: Page, file: Path) -> None:
    page.set_input_files("input[name=file]", file)
    page.get_by_role("button", name="Upload and check").click()
