"""A real browser for tests: Chromium or Chrome of this machine, or Playwright's own."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from apps.users.models import User

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Nothing of the browser's own may wait for the network. Root has no sandbox.
OPTIONS = [
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-domain-reliability",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
    "--no-proxy-server",
]
PATIENCE = 10_000  # milliseconds

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = next(filter(None, map(shutil.which, NAMES)), None)
        found = found or playwright.chromium.executable_path
        if not Path(found).exists():
            pytest.skip("No browser: install Chromium, or run `uv run playwright install chromium`")
        # Playwright's sync API runs an event loop in this thread, and Django takes that for
        # asynchronous code.
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
            browser = playwright.chromium.launch(executable_path=found, args=OPTIONS)
            yield browser
            browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(accept_downloads=True, viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab in which errors of scripts and refusals of the content security policy fail the test."""
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda told: errors.append(told.text) if told.type == "error" else None)
    page.on("requestfailed", lambda request: errors.append(f"{request.url}: {request.failure}"))
    yield page
    # What a test asks for on purpose, and what a new page or a download interrupts.
    harmless = ("status of 404", "status of 403", "net::ERR_ABORTED")
    assert [error for error in errors if not any(text in error for text in harmless)] == []


def log_in(page: Page, site: str, login: str, password: str) -> None:
    page.goto(f"{site}/admin/login/?next=/admin/")
    # Django's own page says username, allauth's says login.
    page.fill("input[name=username], input[name=login]", login)
    page.fill("input[name=password]", password)
    page.press("input[name=password]", "Enter")
    page.wait_for_url(f"{site}/admin/")


def enter(page: Page, site: str, user: User) -> None:
    """Be logged in without the form, for tests of other pages."""
    client = Client()
    client.force_login(user)
    session = client.cookies[settings.SESSION_COOKIE_NAME].value
    page.context.add_cookies(
        [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": site}]
    )


def screenshot(page: Page, name: str) -> None:
    """Written when BROWSER_SCREENSHOTS names a folder."""
    if folder := os.environ.get("BROWSER_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")
