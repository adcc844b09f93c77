import json
from typing import Any

import pytest
from django.conf import settings as project
from django.http import HttpRequest, HttpResponse
from django.test import Client
from pytest_django import Settings

from apps.core import logs
from apps.core.middleware import ContentSecurityPolicy


@pytest.fixture
def production_logs(capsys: pytest.CaptureFixture[str]) -> Any:
    """Calling it returns what was logged since the test began, a dictionary for each line."""
    logs.configure({"level": "debug", "readable": False})
    yield lambda: [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    logs.configure(project.LOGGING)


def test_answers_carry_security_headers(client: Client) -> None:
    response = client.get("/health/live")

    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["X-Frame-Options"] == "DENY"
    assert response["Referrer-Policy"] == "same-origin"
    assert "default-src 'self'" in response["Content-Security-Policy"]
    assert "unsafe" not in response["Content-Security-Policy"]


def test_exceptions_from_the_content_policy_hold_below_their_path_only(settings: Settings) -> None:
    settings.CONTENT_SECURITY_POLICY_EXCEPTIONS = {"/reports/": {"img-src": ["blob:"]}}
    middleware = ContentSecurityPolicy(lambda request: HttpResponse())

    def policy(path: str) -> str:
        request = HttpRequest()
        request.path = request.path_info = path
        return middleware.process_response(request, HttpResponse())["Content-Security-Policy"]

    assert "img-src blob:" in policy("/reports/1")
    assert "blob:" not in policy("/")


@pytest.mark.parametrize("path", ["/health/live", "/api/me"])
def test_no_page_outside_of_the_admin_and_the_documentation_is_excepted(
    client: Client, path: str
) -> None:
    assert "unsafe" not in client.get(path)["Content-Security-Policy"]
    excepted = project.CONTENT_SECURITY_POLICY_EXCEPTIONS
    # Below /accounts/ there is one more, and its own test.
    assert all(path.startswith(("/accounts/", "/admin/", "/docs", "/redoc")) for path in excepted)


def test_known_web_sites_may_ask_and_others_may_not(client: Client) -> None:
    known = client.get("/api/me", headers={"Origin": "https://app.example.com"})
    other = client.get("/api/me", headers={"Origin": "https://evil.example"})

    assert known["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "Access-Control-Allow-Origin" not in other


@pytest.mark.parametrize("sent", ["", "two words", "x" * 65, "line\tbreak"])
def test_a_request_id_that_could_forge_log_lines_is_replaced(client: Client, sent: str) -> None:
    response = client.get("/health/live", headers={"X-Request-ID": sent})

    assert response["X-Request-ID"] not in {"", sent}


def test_production_logs_json_with_the_request_id(client: Client, production_logs: Any) -> None:
    client.get("/health/live", headers={"X-Request-ID": "abc"})

    (line,) = (line for line in production_logs() if line["event"] == "request")
    assert line["request_id"] == "abc"
    assert (line["method"], line["path"], line["status"]) == ("GET", "/health/live", 200)
    assert line["level"] == "info"


def test_static_files_do_not_fill_the_log(client: Client, production_logs: Any) -> None:
    client.get("/static/admin/css/base.css")

    (line,) = (line for line in production_logs() if line["event"] == "request")
    assert line["level"] == "debug"


@pytest.mark.parametrize("path", ["/api/bug", "/bug"])
def test_the_log_of_a_bug_tells_where_it_is_and_no_variables(
    settings: Settings, production_logs: Any, path: str
) -> None:
    settings.ROOT_URLCONF = "tests.core.failing_urls"
    client = Client(raise_request_exception=False)
    client.get(path, headers={"Authorization": "Bearer my-token"})

    logged = json.dumps(production_logs())
    assert "failing_urls.py" in logged
    assert "something internal" in logged
    assert "my-token" not in logged
