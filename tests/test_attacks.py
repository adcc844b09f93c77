"""Schemathesis attacks running services: by their own OpenAPI description, with all of its checks."""

import json
import os
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest

from proof.generate import ROOT, with_cookiecutter
from proof.processes import clean_environment, free_port, run, server
from proof.questions import Questionnaire
from proof.stacks import STACKS

SCHEMATHESIS = ["uv", "tool", "run", "--from", "schemathesis>=4.32,<5", "st"]
# Of a request that obeys its schema, too, 422 may be the answer: no schema knows which ids there are, which domains
# take mail, and which Idempotency-Key was used before.
CONFIG = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "3xx", "401", "403", "404", "409", "422", "429"]
"""
# Where no mail server answers, what has to send a mail says so.
CONFIG_OF_BORROWED = """
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""
LOGIN, PASSWORD = "attacker@example.com", "only-for-this-test-1"
SUITES = int(os.environ.get("ATTACKS", "10"))  # cases of each operation in the part that is random


@dataclass(frozen=True)
class Target:
    answers: Mapping[str, object]
    # What makes the caller, and what says who that is once the service runs.
    prepare: str
    whoami: str = ""
    token_at: str = ""
    # What ends the credentials is attacked last.
    ends: tuple[str, ...] = ()
    # The description of routes that a package brings, which may be wrong about answers, but not about failures.
    borrowed: str = ""


OPEN = Target({"auth": "none"}, "uv run just migrate")
KEYS = Target(
    {"auth": "api_key", "webhooks": "stripe,twilio,n8n,standard,hmac"},
    "uv run just key-issue attacks --scopes leads:read,leads:write,webhooks:admin --days 1",
    "/leads",
)
USERS = Target(
    {"auth": "users"},
    f"uv run just superuser {LOGIN}",
    "/users/me",
    "/auth/login",
    ("/auth/logout-everywhere", "/auth/logout", "/users/me/deactivate", "/users/me/password", "/users/{user_id}"),
)
DJANGO = f"DJANGO_SUPERUSER_PASSWORD={PASSWORD} uv run python manage.py createsuperuser --no-input --email {LOGIN}"
TOKEN = Target({"stack": "django"}, DJANGO, "/api/me", "/api/auth/token", ("/api/auth/token",))
JWT = Target(
    {"stack": "django", "api_auth": "jwt", "accounts": True},
    DJANGO,
    "/api/me",
    "/api/auth/token",
    borrowed="/_allauth/openapi.json",
)


@pytest.mark.parametrize("target", [OPEN, KEYS, USERS, TOKEN, JWT], ids=["open", "keys", "users", "token", "jwt"])
def test_no_request_makes_a_service_fail_or_say_what_it_does_not_document(
    target: Target, template: Path, tmp_path: Path
) -> None:
    project = with_cookiecutter(template, target.answers, tmp_path)
    complete = Questionnaire(ROOT).complete(target.answers)
    stack, port = complete["stack"], str(free_port())
    environment = clean_environment(
        **{
            "APP_ENVIRONMENT": "production",
            "APP_SECRET_KEY": "a key that only this test uses, of enough characters",
            "APP_ALLOWED_HOSTS": "127.0.0.1",
            "APP_DATABASE_URL": f"sqlite:///{tmp_path / 'attacked.db'}",
            "APP_PORT": port,
            "APP_LOG_LEVEL": "error",
        }
        | STACKS[stack].production(complete, "")
    )
    run(["uv", "run", "just", "migrate"], project, environment)
    prepared = run(["sh", "-c", target.prepare], project, environment)
    site = f"http://127.0.0.1:{port}"
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG, encoding="utf-8")
    options = ["--no-color", "--phases=examples,coverage,fuzzing", f"--max-examples={SUITES}"]
    options += ["--generation-deterministic", "--warnings=off"]
    attack = [*SCHEMATHESIS, "--config-file", str(config), "run", f"{site}/openapi.json", "--checks=all", *options]

    with server(["uv", "run", "just", "start"], project, environment, f"{site}/health/ready") as said:
        header = f"Authorization: Bearer {credentials(target, site, prepared)}"
        if target.whoami:
            attack.append(f"--header={header}")
        some = run([*attack, *(f"--exclude-path={path}" for path in target.ends)], tmp_path, clean_environment())
        if target.whoami:
            assert status(site + target.whoami, header) == 200, "the attack was that of a stranger"
        if target.ends:
            some += run([*attack, *(f"--include-path={path}" for path in target.ends)], tmp_path, clean_environment())
        if target.borrowed:
            config.write_text(CONFIG_OF_BORROWED, encoding="utf-8")
            more = [*SCHEMATHESIS, "--config-file", str(config), "run", site + target.borrowed]
            some += run([*more, "--checks=not_a_server_error", *options], tmp_path, clean_environment())
    print(some)
    assert sum(int(number) for number in re.findall(r"(\d+) generated", some)) > 100
    assert "Traceback" not in said[0]


def credentials(target: Target, site: str, prepared: str) -> str:
    if not target.token_at:
        found = re.search(r"^key_\S+$", prepared, re.MULTILINE)
        return found[0] if found else ""
    password = found[1] if (found := re.search(r"password (\S+)", prepared)) else PASSWORD
    if target.token_at.startswith("/auth/"):
        body, kind = urlencode({"username": LOGIN, "password": password}), "application/x-www-form-urlencoded"
    else:
        body, kind = json.dumps({"email": LOGIN, "password": password}), "application/json"
    request = urllib.request.Request(site + target.token_at, body.encode(), {"Content-Type": kind})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (our own http://127.0.0.1)
        given = json.load(answer)
    return str(next(given[name] for name in ("access_token", "access", "token") if name in given))


def status(url: str, header: str) -> int:
    name, _, value = header.partition(": ")
    request = urllib.request.Request(url, headers={name: value})  # noqa: S310
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (our own http://127.0.0.1)
        return int(answer.status)
