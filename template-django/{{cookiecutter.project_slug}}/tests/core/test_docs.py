import io
import runpy
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

import config.urls
from apps.core.docs import document_empty_filters


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    result: dict[str, Any] = Client().get("/openapi.json").json()
    return result


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_the_documentation_needs_no_internet(client: Client, page: str) -> None:
    html = client.get(page).content.decode()

    assert "https://" not in html
    sources = [part.split('"')[0] for part in html.split('src="')[1:]]
    assert sources
    for source in sources:
        assert client.get(source).status_code == 200


def test_the_documentation_can_be_switched_off(settings: Settings) -> None:
    settings.ENV = settings.ENV.model_copy(update={"docs": False})
    patterns = runpy.run_path(config.urls.__file__)["urlpatterns"]

    assert {"docs", "redoc", "openapi.json"}.isdisjoint(str(one.pattern) for one in patterns)


def test_operation_ids_are_unique_and_known(schema: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for operations in schema["paths"].values()
        for operation in operations.values()
    ]

    assert len(ids) == len(set(ids))
    assert {"health_live", "health_ready", "me", "auth_token_obtain"} <= set(ids)


def test_every_refusal_is_documented_as_a_problem(schema: dict[str, Any]) -> None:
    assert "Problem" in schema["components"]["schemas"]
    for operations in schema["paths"].values():
        for operation in operations.values():
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]
            assert "application/problem+json" in operation["responses"]["5XX"]["content"]


def test_browsers_and_programs_have_their_ways_to_log_in(schema: dict[str, Any]) -> None:
    schemes = schema["components"]["securitySchemes"].values()

    assert any(scheme["type"] == "apiKey" and scheme["in"] == "cookie" for scheme in schemes)
    assert any(scheme.get("scheme") == "bearer" for scheme in schemes)


@pytest.mark.slow
def test_the_schema_is_valid_and_complete() -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=io.StringIO())


def test_a_filter_may_be_empty_and_a_limit_may_not() -> None:
    places = [("query", "name"), ("query", "limit"), ("path", "pk")]
    parameters: list[dict[str, Any]] = [{"in": place, "name": name} for place, name in places]

    document_empty_filters({"paths": {"/rows": {"get": {"parameters": parameters}, "post": {}}}})

    assert [one.get("allowEmptyValue") for one in parameters] == [True, None, None]
