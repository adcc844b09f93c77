import json
from typing import Any

import pytest
from django.contrib import admin
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.models import DateField
from django.test import Client
from django.urls import reverse
from django.utils.html import escape
from pytest_django import Settings
from rest_framework.test import APIClient

from apps.core import database

PROBLEM = "application/problem+json"


@pytest.fixture
def failing(settings: Settings) -> Client:
    """A browser or program that meets views that fail."""
    settings.ROOT_URLCONF = "tests.core.failing_urls"
    return Client(raise_request_exception=False)


def test_a_bug_is_a_problem_that_tells_nothing_but_the_request_id(failing: Client) -> None:
    response = failing.get("/api/bug", headers={"X-Request-ID": "from-the-proxy.1"})

    assert response.status_code == 500
    assert response["Content-Type"] == PROBLEM
    assert response["X-Request-ID"] == "from-the-proxy.1"
    assert response.json() == {
        "type": "about:blank",
        "title": "Internal Server Error",
        "status": 500,
        "detail": "Something went wrong on our side.",
        "request_id": "from-the-proxy.1",
    }


def test_a_bug_is_explained_when_debug_is_on(failing: Client, settings: Settings) -> None:
    settings.DEBUG = True

    assert "something internal" in failing.get("/api/bug").json()["detail"]


def test_people_get_a_page_and_programs_a_problem(failing: Client) -> None:
    page = failing.get("/bug", headers={"Accept": "text/html,*/*"})
    problem = failing.get("/bug", headers={"Accept": "application/json"})

    assert page.status_code == problem.status_code == 500
    assert page["Content-Type"].startswith("text/html")
    assert page["X-Request-ID"] in page.content.decode()
    assert "something internal" not in page.content.decode()
    assert problem["Content-Type"] == PROBLEM


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (None, "The database is busy."),
        ("FATAL:  sorry, too many clients already", "The database is busy."),
        ("connection refused", "The database does not answer."),
        ('FATAL:  database "x" does not exist', "The database does not answer."),
    ],
)
def test_a_pool_without_a_connection_is_busy_or_cannot_make_one(
    failing: Client, monkeypatch: pytest.MonkeyPatch, reason: str | None, sentence: str
) -> None:
    monkeypatch.setattr(database, "why_unreachable", lambda **_: reason)
    response = failing.get("/api/database/exhausted")

    assert response.status_code == 503
    assert response.json()["detail"] == sentence


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["lost", "busy", "exhausted"])
@pytest.mark.parametrize("folder", ["/api", ""])
def test_a_database_that_cannot_answer_now_is_said_to_be_temporary(
    failing: Client, folder: str, state: str
) -> None:
    response = failing.get(f"{folder}/database/{state}")

    assert response.status_code == 503
    assert response["Retry-After"] == "5"
    assert "The database" in response.content.decode()


def test_a_wrong_statement_is_a_bug_and_not_a_database_that_is_away(failing: Client) -> None:
    assert failing.get("/api/database/wrong").status_code == 500


def test_every_invalid_field_is_named_with_its_place(failing: Client) -> None:
    body = {"name": "", "lines": [{"amount": 1}, {"amount": "much"}]}
    response = failing.post("/api/order", body, content_type="application/json")

    assert response.status_code == 422
    assert response["Content-Type"] == PROBLEM
    assert response.json()["detail"] == "The request is not valid: see errors."
    assert [error["location"] for error in response.json()["errors"]] == [
        ["body", "name"],
        ["body", "lines", 1, "amount"],
    ]


def test_a_body_of_the_wrong_shape_is_named_as_a_whole(failing: Client) -> None:
    response = failing.post("/api/order", ["x"], content_type="application/json")

    assert [error["location"] for error in response.json()["errors"]] == [["body"]]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/nothing-here", "", 404),
        ("GET", "/api/refused/domain", "", 404),
        ("GET", "/api/refused/model", "", 422),
        ("GET", "/api/refused/throttled", "", 429),
        ("GET", "/api/refused/details", "", 503),
        ("DELETE", "/api/order", "", 405),
        ("POST", "/api/order", "{", 400),
        ("GET", "/api/me", "", 401),
    ],
)
def test_every_refusal_of_the_api_is_a_problem(
    failing: Client, method: str, path: str, body: str, status: int
) -> None:
    response = failing.generic(method, path, body, content_type="application/json")

    assert response.status_code == status
    assert response["Content-Type"] == PROBLEM
    assert response.json()["status"] == status


def test_a_refusal_keeps_its_headers(failing: Client) -> None:
    response = failing.get("/api/refused/throttled")

    assert response["Retry-After"] == "7"
    assert "7 seconds" in response.json()["detail"]


def test_an_unknown_path_is_a_page_for_people(failing: Client) -> None:
    response = failing.get("/nothing-here", headers={"Accept": "text/html"})

    assert response.status_code == 404
    assert "<h1>Not Found</h1>" in response.content.decode()


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nothing-here", 404, "There is nothing at this address"),
        ("POST", "/page", 405, "does not take what was sent"),
        ("GET", "/forbidden-without-words", 403, "You may not see this"),
        ("GET", "/unknown", 404, "There is nothing at this address"),
        ("GET", "/refused", 404, "There is no thirteenth row."),
        ("GET", "/bug", 500, "Something went wrong on our side."),
        ("GET", "/database/lost", 503, "The database does not answer."),
    ],
)
def test_people_are_told_what_happened_in_the_style_of_the_site(
    failing: Client, settings: Settings, method: str, path: str, status: int, words: str
) -> None:
    page = failing.generic(method, path, headers={"Accept": "text/html"})
    problem = failing.generic(method, path, headers={"Accept": "application/json"})

    assert page.status_code == problem.status_code == status
    text = page.content.decode()
    assert words in text
    assert escape(settings.SITE_NAME) in text
    assert 'href="/"' in text
    assert "core/error" in text
    assert page["Content-Security-Policy"]
    assert problem["Content-Type"] == PROBLEM
    assert problem.json()["status"] == status


def test_a_wrong_method_is_told_the_right_ones(failing: Client) -> None:
    assert failing.post("/page")["Allow"] == "GET, HEAD"


def test_the_page_of_an_error_comes_without_static_files_too(
    failing: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: str) -> str:
        raise ValueError("Missing staticfiles manifest entry")

    monkeypatch.setattr("apps.core.errors.static", refuse)

    assert "There is nothing at this address" in failing.get("/nothing-here").content.decode()


def test_a_browser_that_asks_for_an_icon_gets_one(client: Client) -> None:
    icon: Any = client.get("/favicon.ico", follow=True)

    assert icon.status_code == 200
    assert icon["Content-Type"] == "image/svg+xml"


def test_a_page_that_is_not_for_everybody_says_so(failing: Client) -> None:
    response = failing.get("/forbidden")

    assert response.status_code == 403
    assert "for teachers" in response.content.decode()


def test_a_host_that_is_not_ours_is_refused(failing: Client) -> None:
    assert failing.get("/admin/", headers={"Host": "evil.example"}).status_code == 400


def test_a_form_from_elsewhere_is_refused_in_words() -> None:
    response = Client(enforce_csrf_checks=True).post("/admin/login/")

    assert response.status_code == 403
    assert "another site" in response.content.decode()


@pytest.mark.django_db
def test_a_browser_that_has_logged_in_must_show_that_it_means_it(user: Any) -> None:
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(user)

    assert browser.get("/api/me").status_code == 200
    assert browser.post("/api/me").status_code == 403


@pytest.mark.parametrize("path", ["/api/order", "/upload"])
def test_a_body_that_is_too_large_is_refused(
    failing: Client, settings: Settings, path: str
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    response = failing.post(path, json.dumps("x" * 2000), content_type="application/json")

    assert response.status_code == 413
    assert "1000 bytes" in response.content.decode()


@pytest.mark.parametrize("size", [3000, 2500])
def test_a_file_that_is_too_large_is_refused(
    failing: Client, settings: Settings, size: int
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 900
    settings.ENV = settings.ENV.model_copy(update={"max_upload_size": 2048})
    file = SimpleUploadedFile("large.csv", b"x" * size)

    response = failing.post("/upload", {"file": file})

    assert response.status_code == 413
    assert "More was sent than the 2 KB that are allowed." in response.content.decode()


@pytest.mark.parametrize(
    ("origin", "offered"), [("http://testserver", True), ("http://other.example", False)]
)
def test_the_page_of_a_refused_form_leads_back_to_it(
    failing: Client, settings: Settings, origin: str, offered: bool
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 900
    page = f"{origin}/admin/?q=1"
    headers = {"Referer": page, "Host": "testserver", "Accept": "text/html"}
    response = failing.post("/upload", {"text": "x" * 2000}, headers=headers)

    assert (f'<a href="{page}">Back' in response.content.decode()) == offered


def test_a_file_within_the_limit_is_taken(failing: Client, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 900
    settings.ENV = settings.ENV.model_copy(update={"max_upload_size": 2000})

    response = failing.post("/upload", {"file": SimpleUploadedFile("fits.csv", b"x" * 2000)})

    assert response.content == b"2000"


@pytest.mark.parametrize("path", ["/api/upload", "/upload"])
def test_fields_that_are_too_large_are_refused(
    failing: Client, settings: Settings, path: str
) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 900

    response = failing.post(path, {"text": "x" * 2000})

    assert response.status_code == 413


def test_a_body_of_unknown_length_is_refused_instead_of_taken_for_empty(failing: Client) -> None:
    headers = {"Transfer-Encoding": "chunked"}
    response = failing.post("/api/order", headers=headers, CONTENT_LENGTH="")

    assert response.status_code == 411
    assert "Content-Length" in response.json()["detail"]


@pytest.mark.parametrize("folder", ["/api", ""])
def test_two_who_write_the_same_in_one_moment_are_told_so(failing: Client, folder: str) -> None:
    response = failing.post(f"{folder}/database/twice")

    assert response.status_code == 409
    assert "in this moment" in response.content.decode()


@pytest.mark.parametrize("folder", ["/api", ""])
def test_an_address_that_the_database_cannot_read_is_the_callers_fault(
    failing: Client, folder: str
) -> None:
    assert failing.get(f"{folder}/database/unreadable").status_code == 400
    assert failing.post(f"{folder}/database/unreadable").status_code == 500


@pytest.mark.parametrize("body", ["[" * 200_000, '{"a":' * 200_000])
def test_json_that_is_nested_too_deep_is_refused(failing: Client, body: str) -> None:
    response = failing.generic("POST", "/api/order", body, content_type="application/json")

    assert response.status_code == 400
    assert "JSON" in response.json()["detail"]


@pytest.mark.slow
@pytest.mark.django_db
@pytest.mark.parametrize("number", ["0", "13", "10000", "99999999999999", "letters"])
def test_a_list_of_the_admin_takes_no_date_that_there_is_not(
    administrator: Any, number: str
) -> None:
    browser = Client(raise_request_exception=False)
    browser.force_login(administrator)
    for model, options in admin.site._registry.items():
        dates = {one.name for one in model._meta.fields if isinstance(one, DateField)}
        for name in dates & {options.date_hierarchy, *map(str, options.list_filter)}:
            for given in (
                {"year": number},
                {"year": "2024", "month": number},
                {"year": "2024", "month": "2", "day": number},
            ):
                page = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
                query = {f"{name}__{part}": value for part, value in given.items()}
                answer = browser.get(reverse(page), query)

                # Shown, and empty; Django's ?e=1; or a page that says why not.
                assert answer.status_code in (200, 302, 400), (page, query)
