"""What a row was before, in a real browser."""

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from apps.schools.models import Role
from tests.browser import log_in, screenshot
from tests.schools.factories import make_member, make_school, make_student
from tests.users.factories import PASSWORD


@pytest.fixture
def site(live_server: LiveServer, transactional_db: None) -> str:
    return str(live_server.url)


def test_a_head_sees_what_was_changed_and_takes_it_back(
    page: Page,
    site: str,
) -> None:
    school = make_school()
    student = make_student(school, first_name="Zoë")
    head = make_member(school, Role.HEAD, "head")
    address = f"{site}/admin/schools/student/{student.pk}"
    log_in(page, site, head.get_username(), PASSWORD)

    page.goto(f"{address}/change/")
    page.fill("input[name=first_name]", "Zoe")
    page.locator("[name=_save]").first.click()
    page.goto(f"{address}/history/")
    # A theme may show what changed when the row is opened.
    page.locator("#change-history tbody tr").first.click(position={"x": 2, "y": 2})
    changed = page.locator("#change-history tbody").first
    expect(changed).to_contain_text("First name")
    expect(changed).to_contain_text("Zoë")
    expect(changed).to_contain_text(str(head))
    screenshot(page, "history")

    page.locator("#change-history a[href*='/history/']").last.click()
    expect(page.locator("input[name=first_name]")).to_have_value("Zoë")
    screenshot(page, "history-version")
    page.locator("[name=_save]").first.click()
    page.goto(f"{address}/change/")
    expect(page.locator("input[name=first_name]")).to_have_value("Zoë")
