"""What a row was before, in a real browser."""

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from apps.schools.models import Role
from tests.browser import enter, screenshot
from tests.schools.factories import make_member, make_school, make_student

pytestmark = pytest.mark.slow


@pytest.fixture
def site(live_server: LiveServer, transactional_db: None) -> str:
    return str(live_server.url)


def test_a_head_sees_what_was_changed_and_takes_it_back(
    page: Page,
    site: str,
) -> None:
    student = make_student(make_school(), first_name="Zoë")
    head = make_member(student.school, Role.HEAD, "head")
    student.first_name = "Zoe"
    vars(student)["_history_user"] = head
    student.save()
    enter(page, site, head)

    page.goto(f"{site}/admin/schools/student/{student.pk}/history/")
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
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    student.refresh_from_db()
    assert student.first_name == "Zoë"
