import os
import runpy
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings as project
from django.http import HttpRequest, HttpResponse
from django.urls import path
from pydantic import ValidationError
from pytest_django import DjangoAssertNumQueries, Settings
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView
from structlog.testing import capture_logs

import config.settings
from apps.core import rate_limits, rate_windows
from apps.core.rate_limits import check_limits
from apps.core.rate_windows import Limit, Window, Windows, limits_of
from apps.users.models import User
from config.environment import BROKERS, Environment, explain
from config.urls import urlpatterns as urls_of_project
from tests.users.factories import PASSWORD, make_user

HERE, ELSEWHERE = "192.0.2.1", "198.51.100.1"
TEN = Limit("default", 10, 60)


class Things(APIView):
    permission_classes = (AllowAny,)

    def get(self, request: Request, number: int) -> Response:
        return Response(number)

    def post(self, request: Request, number: int) -> Response:
        return Response(request.data)


class Dear(Things):
    rate_limit = "1/hour"


class Cheap(Things):
    rate_limit = None


class Open(Things):
    """As logging in: it looks at no credentials, and has throttles of its own."""

    authentication_classes = ()
    throttle_classes = ()

    def get(self, request: Request, number: int) -> Response:
        sleep(0.01)
        return Response(number)


class Broken(Things):
    def get(self, request: Request, number: int) -> Response:
        raise ValueError


class Forbidden(Things):
    def check_permissions(self, request: Request) -> None:
        self.permission_denied(request)


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


urlpatterns = [
    path("api/things/<int:number>", Things.as_view()),
    path("api/dear/<int:number>", Dear.as_view()),
    path("api/cheap/<int:number>", Cheap.as_view()),
    path("api/open/<int:number>", Open.as_view()),
    path("api/broken/<int:number>", Broken.as_view()),
    path("api/forbidden/<int:number>", Forbidden.as_view()),
    path("page", page),
    *urls_of_project,
]


@pytest.fixture(autouse=True)
def limits(settings: Settings) -> Iterator[Settings]:
    """Three requests a minute to the project's views and to those above, counted from nothing."""
    settings.ROOT_URLCONF = __name__
    settings.RATE_LIMIT = "3/minute"
    settings.RATE_LIMIT_STORAGE = "memory"
    anew()
    yield settings
    rate_limits.windows().close()
    rate_limits.windows.cache_clear()


def anew() -> None:
    """As when the process starts."""
    rate_limits.windows.cache_clear()
    rate_limits.windows()


def at(address: str = HERE, *, bearer: str = "") -> APIClient:
    """A client that asks from this address, with this token."""
    client = APIClient(raise_request_exception=False, REMOTE_ADDR=address)
    if bearer:
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {bearer}")
    return client


def get(client: APIClient, *paths: str) -> list[int]:
    return [client.get(path).status_code for path in paths]


def later(windows: Windows, seconds: float) -> None:
    """Time passes for the counts."""
    for key, window in windows.known.items():
        windows.known[key] = Window(window.count, window.ends - seconds)


def token_of(user: User) -> str:
    credentials = {User.USERNAME_FIELD: user.get_username(), "password": PASSWORD}
    answer = at("203.0.113.9").post("/api/auth/token", credentials).json()
    token: str = answer.get("token") or answer["access"]
    return token


def test_a_caller_has_so_many_requests_for_each_route() -> None:
    client = at()

    assert get(client, *(f"/api/things/{number}" for number in range(4))) == [200, 200, 200, 429]
    assert client.post("/api/things/1", {"size": 1}).status_code == 200
    assert get(client, "/api/cheap/1") == [200]
    assert get(at(ELSEWHERE), "/api/things/1") == [200]


def test_answers_tell_what_is_left() -> None:
    client = at()
    first = client.get("/api/things/1")
    second = client.get("/api/things/2")

    assert first["RateLimit-Policy"] == '"default";q=3;w=60'
    assert first["RateLimit"] == '"default";r=2;t=60'
    assert second["RateLimit"].startswith('"default";r=1;t=')
    assert "Retry-After" not in first


def test_too_many_requests_are_a_problem_that_says_how_long_to_wait() -> None:
    client = at()
    get(client, *3 * ["/api/things/1"])
    refused = client.get("/api/things/1", headers={"Origin": "https://app.example.com"})

    assert refused["Content-Type"] == "application/problem+json"
    assert refused.json()["detail"].startswith("Too many requests: try again in ")
    assert 1 <= int(refused["Retry-After"]) <= 60
    assert refused["RateLimit"] == f'"default";r=0;t={refused["Retry-After"]}'
    exposed = refused["Access-Control-Expose-Headers"]
    assert {"RateLimit", "RateLimit-Policy", "Retry-After"} <= {*exposed.split(", ")}


def test_refusals_and_failures_count_as_well() -> None:
    client = at()
    answers = [client.post("/api/things/1", "{", content_type="application/json") for _ in range(4)]

    assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
    assert all("RateLimit" in answer for answer in answers)
    assert get(client, *4 * ["/api/broken/1"]) == [500, 500, 500, 429]


def test_the_window_ends() -> None:
    client = at()
    get(client, *4 * ["/api/things/1"])

    later(rate_limits.windows(), 50)
    assert get(client, "/api/things/1") == [429]
    later(rate_limits.windows(), 10)
    assert get(client, *4 * ["/api/things/1"]) == [200, 200, 200, 429]


def test_several_limits_hold_together(limits: Settings) -> None:
    limits.RATE_LIMIT = "2/second;3/hour"
    client = at()
    first = client.get("/api/things/1")
    assert first["RateLimit-Policy"] == '"default";q=2;w=1, "default-2";q=3;w=3600'
    assert first["RateLimit"] == '"default";r=1;t=1, "default-2";r=2;t=3600'

    later(rate_limits.windows(), 1)
    client.get("/api/things/1")
    later(rate_limits.windows(), 1)
    assert get(client, "/api/things/1", "/api/things/1") == [200, 429]


def test_a_view_has_its_own_limit_or_none() -> None:
    client = at()
    dear = client.get("/api/dear/1")

    assert dear["RateLimit-Policy"] == '"route";q=1;w=3600'
    assert get(client, "/api/dear/2") == [429]
    assert get(client, *5 * ["/api/cheap/1"]) == 5 * [200]


@pytest.mark.slow
def test_pages_health_documentation_and_unknown_paths_are_not_limited(db: None) -> None:
    client = at()

    for address in ("/page", "/health/live", "/docs", "/redoc", "/openapi.json", "/admin/login/"):
        answers = [client.get(address) for _ in range(4)]
        # With accounts, the admin leads to their page.
        assert {answer.status_code for answer in answers} <= {200, 302}
        assert not any("RateLimit-Policy" in answer for answer in answers)
    assert get(client, *4 * ["/api/nothing-here"]) == 4 * [404]


def test_a_browser_that_asks_whether_it_may_ask_is_not_counted() -> None:
    client = at()
    asking = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
    for _ in range(4):
        assert client.options("/api/dear/1", headers=asking).status_code == 200

    assert get(client, "/api/dear/1") == [200]


def test_who_is_authenticated_is_counted_wherever_from(user: User) -> None:
    token = token_of(user)
    browser = at()
    browser.force_login(user)

    assert get(at(bearer=token), "/api/me", "/api/me") == [200, 200]
    assert get(at(ELSEWHERE, bearer=token), "/api/me") == [200]
    refused = browser.get("/api/me")
    assert refused.status_code == 429
    assert ";r=0;" in refused["RateLimit"]
    # At the same address: neither others nor strangers share what is hers.
    bob = at(bearer=token_of(make_user("bob")))
    assert get(bob, *4 * ["/api/me"]) == [200, 200, 200, 429]
    assert get(at(), "/api/me") == [401]


def test_who_may_not_is_counted_as_who_they_are(user: User) -> None:
    browser = at()
    browser.force_login(user)

    assert get(browser, *3 * ["/api/forbidden/1"]) == [403, 403, 403]
    assert get(at(), "/api/forbidden/1") == [401]
    assert "r=2" in at(ELSEWHERE).get("/api/forbidden/1")["RateLimit"]


def test_who_makes_credentials_up_is_counted_by_address_and_soon_not_looked_up(
    db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    answers = [at(bearer=token).get("/api/me") for token in "abc"]
    assert [answer.status_code for answer in answers] == 3 * [401]
    assert [";r=2;" in answers[0]["RateLimit"], ";r=0;" in answers[2]["RateLimit"]] == [True, True]
    with django_assert_num_queries(0):
        refused = at(bearer="d").get("/api/me")

    assert refused.status_code == 429
    assert refused["Retry-After"]
    assert get(at(ELSEWHERE, bearer="e"), "/api/me") == [401]


def test_sessions_that_are_made_up_give_nobody_more(db: None) -> None:
    statuses = []
    for number in range(4):
        client = at()
        client.cookies[project.SESSION_COOKIE_NAME] = f"made-up-{number}"
        statuses += get(client, "/api/things/1")

    assert statuses == [200, 200, 200, 429]


def test_logging_in_is_counted_before_a_password_is_looked_at(
    user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    credentials = {User.USERNAME_FIELD: user.get_username(), "password": "wrong"}
    statuses = [at().post("/api/auth/token", credentials).status_code for _ in range(3)]
    with django_assert_num_queries(0):
        refused = at().post("/api/auth/token", credentials)

    assert statuses == [401, 401, 401]
    assert refused.json()["detail"].startswith("Too many requests")


@pytest.mark.parametrize("trusted", [True, False])
def test_only_a_trusted_proxy_says_whose_request_it_is(limits: Settings, trusted: bool) -> None:
    limits.ENV = limits.ENV.model_copy(update={"trusted_proxy": trusted})
    answers = [
        at().get("/api/things/1", headers={"X-Forwarded-For": f"1.1.1.1, 203.0.113.{number}"})
        for number in range(5)
    ]

    assert [answer.status_code for answer in answers].count(200) == (5 if trusted else 3)


def test_of_many_requests_at_the_same_moment_none_slips_through(limits: Settings) -> None:
    limits.RATE_LIMIT = "10/minute"
    with ThreadPoolExecutor(50) as threads:
        statuses = list(threads.map(lambda _: get(at(), "/api/things/1"), range(50)))

    assert (statuses.count([200]), statuses.count([429])) == (10, 40)


def test_credentials_where_nobody_looks_at_them_change_nothing() -> None:
    with ThreadPoolExecutor(20) as threads:
        statuses = list(
            threads.map(lambda token: get(at(bearer=token), "/api/open/1"), map(str, range(20)))
        )

    assert statuses.count([200]) == 3


def test_memory_does_not_grow_with_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_windows, "MOST_WINDOWS", 100)
    windows = Windows()
    for number in range(150):
        windows.count(f"short {number}", Limit("", 1, 0))
        windows.count(f"long {number}", Limit("", 1, 60))

    assert len(windows.known) <= 100
    # The newest of those that still count.
    assert windows.full("long 149", Limit("", 1, 60))


@pytest.fixture(scope="module")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """TEST_REDIS_URL, or a server of our own."""
    if url := os.environ.get("TEST_REDIS_URL"):
        yield url
        return
    if not (program := shutil.which("redis-server")):
        pytest.skip("no TEST_REDIS_URL, and no redis-server on the PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    with subprocess.Popen([program, *options], stdout=subprocess.DEVNULL) as server:  # noqa: S603 - no input
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            sleep(0.05)
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Windows]:
    windows = Windows(redis_url, prefix=uuid4().hex)
    yield windows
    windows.close()


@pytest.mark.slow
def test_processes_count_together_in_redis(redis: Windows, redis_url: str) -> None:
    other = Windows(redis_url, prefix=redis.prefix)
    with ThreadPoolExecutor(50) as threads:
        answers = threads.map(lambda windows: windows.count("ann", TEN), 25 * [redis, other])
    passed = [window for window in answers if window and window.count <= TEN.most]
    other.close()

    assert len(passed) == 10
    assert all(0 < window.seconds <= 60 for window in passed)
    # From now on this process knows without asking.
    assert redis.full("ann", TEN)


@pytest.mark.slow
def test_redis_that_was_away_counts_again(redis: Windows) -> None:
    redis.count("ann", TEN)
    answering, redis.redis = redis.redis, Windows("redis://127.0.0.1:1").redis

    with capture_logs() as logs:
        assert redis.count("ann", TEN) is None
        redis.redis = answering
        assert redis.count("ann", TEN) is None
        redis.ask_after = 0.0
        window = redis.count("ann", TEN)

    assert window
    assert window.count == 2
    assert [line["event"] for line in logs] == ["rate_limits_off"]


@pytest.mark.slow
@pytest.mark.parametrize("silent", [True, False])
def test_requests_go_through_soon_when_redis_is_away_or_silent(
    limits: Settings, silent: bool
) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1] if silent else 1
        limits.RATE_LIMIT_STORAGE = f"redis://127.0.0.1:{port}/0"
        anew()
        began = monotonic()
        with capture_logs() as logs, ThreadPoolExecutor(10) as threads:
            answers = list(threads.map(lambda _: at().get("/api/dear/1"), range(20)))
        took = monotonic() - began

    assert {answer.status_code for answer in answers} == {200}
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["rate_limits_off"]
    assert "RateLimit" not in answers[0]
    # Half a second, and what a busy machine takes.
    assert took < 3


@pytest.mark.parametrize(
    "text", ["often", "10/fortnight", "0/minute", "10", "-1/second", "1/second;"]
)
def test_a_limit_that_is_none_is_refused(text: str) -> None:
    assert refusal(rate_limit=text) == (
        "APP_RATE_LIMIT is no rate limit: write it like 120/minute or 10/second;1000/hour"
    )


@pytest.mark.parametrize(
    "url", ["memcached://h", "redis://", "redis://h:port", "localhost", "://["]
)
def test_another_storage_is_refused_and_not_repeated(url: str) -> None:
    sentence = refusal(rate_limit_storage=url)

    assert sentence.startswith("APP_RATE_LIMIT_STORAGE is no place to count in")
    assert "memcached" not in sentence


def test_the_redis_of_a_broker_counts_unless_it_shall_not(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "redis://broker:6379/0" if "redis" in BROKERS else "memory"
    monkeypatch.setenv("APP_BROKER_URL", url.replace("memory", ""))
    assert runpy.run_path(config.settings.__file__)["RATE_LIMIT_STORAGE"] == url

    monkeypatch.setenv("APP_RATE_LIMIT_STORAGE", "memory")
    assert runpy.run_path(config.settings.__file__)["RATE_LIMIT_STORAGE"] == "memory"


def refusal(**values: object) -> str:
    with pytest.raises(ValidationError) as refused:
        Environment(**values)  # type: ignore[arg-type]  # wrong on purpose
    return "\n".join(explain(refused.value))


def test_limits_are_written_as_the_library_has_them() -> None:
    assert limits_of("10 per 2 minutes") == [Limit("default", 10, 120)]


def test_doctor_says_when_processes_do_not_count_together(limits: Settings) -> None:
    production: dict[str, Any] = {"environment": "production", "workers": 4}

    assert check_limits()[0] == "ok"
    limits.ENV = limits.ENV.model_copy(update=production)
    level, said = check_limits()
    assert level == "warning"
    assert "up to 4 times as often" in said


@pytest.mark.slow
def test_doctor_asks_redis(limits: Settings, redis_url: str) -> None:
    def said_of(url: str) -> tuple[str, str]:
        limits.RATE_LIMIT_STORAGE = url
        anew()
        return check_limits()

    assert said_of(redis_url)[0] == "ok"
    level, said = said_of("redis://127.0.0.1:1/0")
    assert level == "warning"
    assert "does not answer, so all pass" in said
