"""What people do on a day with reports, in a real browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from apps.schools.models import Role
from tests.browser import log_in, screenshot
from tests.jobs.plugin import RunJobs
from tests.schools.conftest import Place, make_place
from tests.schools.factories import make_grade, make_member, make_student
from tests.users.factories import PASSWORD

pytestmark = pytest.mark.slow


@pytest.fixture
def site(live_server: LiveServer, transactional_db: None) -> str:
    return str(live_server.url)


def test_a_head_generates_reports_and_downloads_one(
    page: Page,
    site: str,
    run_jobs: RunJobs,
    tmp_path: Path,
) -> None:
    ours, theirs = make_place("Our"), make_place("Other")
    head = make_member(ours.school, Role.HEAD, "head")
    for name in ("Zoë", "Łukasz"):
        student = make_student(school_class=ours.school_class, first_name=name)
        make_grade(student, ours.term, subject="Mathematics", comment="Works with care.")
    ours.report.delete()

    log_in(page, site, head.get_username(), PASSWORD)
    screenshot(page, "start")
    page.goto(f"{site}/admin/schools/student/")
    expect(page.get_by_text("Łukasz")).to_be_visible()
    expect(page.get_by_text("Otherson")).to_have_count(0)
    screenshot(page, "students")

    order_reports(page, site, ours)
    expect(page.get_by_text("Reports of Our 5b, Our term").first).to_be_visible()
    run_jobs()
    page.reload()
    expect(page.get_by_text("3 of 3").first).to_be_visible()
    screenshot(page, "job")

    page.goto(f"{site}/admin/schools/report/")
    screenshot(page, "reports")
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Download").first.click()
    downloading.value.save_as(tmp_path / "report.pdf")
    assert downloading.value.suggested_filename.endswith("_Our_term.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")

    # Another school's row is as good as not there.
    page.goto(f"{site}/admin/schools/student/{theirs.student.pk}/change/")
    expect(page).to_have_url(re.compile("/admin/$"))
    expect(page.get_by_text("doesn’t exist")).to_be_visible()  # noqa: RUF001 - as Django writes it
    screenshot(page, "refused")
    refused = page.goto(f"{site}/schools/reports/{theirs.report.pk}/")
    assert refused is not None
    assert refused.status == 404


def test_redoc_asks_no_other_server(page: Page, site: str) -> None:
    # What the content security policy refuses fails the test: see the fixture `page`.
    page.goto(f"{site}/redoc")
    expect(page.get_by_text("API docs by Redocly")).to_be_visible()


def order_reports(page: Page, site: str, ours: Place) -> None:
    page.goto(f"{site}/admin/schools/schoolclass/")
    page.check(f"input[name=_selected_action][value='{ours.school_class.pk}']")
    page.select_option("select[name=action]", "generate_reports")
    page.locator("button[name=index], button:has-text('Run')").first.click()
    page.select_option("select[name=term]", label="Our term")
    screenshot(page, "generate")
    page.get_by_role("button", name="Generate reports").click()
