"""Errors as RFC 9457 problem details: one format for every refusal and failure."""

import json
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.exceptions import HTTPException
from starlette.routing import Match

# PostgreSQL's: insufficient resources, cancelled or shut down, locked for too long, read-only.
PASSING_STATES = ("53", "57", "55P03", "25006")
MEDIA_TYPE = "application/problem+json"


class InvalidField(BaseModel):
    location: list[str | int]
    message: str


class Problem(BaseModel):
    type: str = "about:blank"
    title: str
    status: int
    detail: str | None = None
    request_id: str | None = None
    errors: list[InvalidField] | None = None


class DomainError(Exception):
    """Raised by services; the message is shown to the caller."""

    status = 400
    headers: dict[str, str] | None = None


{% if cookiecutter.auth != "none" %}
class UnauthorizedError(DomainError):
    status = 401
    headers = {"WWW-Authenticate": "Bearer"}  # noqa: RUF012 - nobody changes it


class ForbiddenError(DomainError):
    status = 403


{% endif %}
class NotFoundError(DomainError):
    status = 404


class UnprocessableError(DomainError):
    status = 422


class DatabaseUnavailableError(DomainError):
    """No connection could be made; the reason is in `__cause__`."""

    status = 503


def problem_response(
    status: int,
    detail: str | None = None,
    *,
    errors: list[InvalidField] | None = None,
    headers: dict[str, str] | None = None,
) -> JSONResponse:
    title = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Error"
    problem = Problem(
        title=title,
        status=status,
        detail=None if detail == title else detail,
        request_id=structlog.contextvars.get_contextvars().get("request_id"),
        errors=errors,
    )
    return JSONResponse(
        problem.model_dump(exclude_none=True), int(status), headers=headers, media_type=MEDIA_TYPE
    )


# For the OpenAPI schema: whatever is refused or fails is a Problem.
RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in (("4XX", "Refused"), ("5XX", "Failed"))
}


async def on_domain_error(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, DomainError)
    return problem_response(error.status, str(error), headers=error.headers)


async def on_http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = ", ".join(methods_for(request))
    # Anything that JSON can write is allowed as detail.
    detail = error.detail if isinstance(error.detail, str) else json.dumps(error.detail)
    return problem_response(error.status_code, detail, headers=headers)


def methods_for(request: Request) -> list[str]:
    """What the path answers: each method is a route of its own, and each names itself alone."""
    routes = request.app.router.routes
    return [
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(
            route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes
        )
    ]


async def on_invalid_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return problem_response(
        422,
        "The request is not valid: see errors.",
        errors=[
            InvalidField(location=list(item["loc"]), message=item["msg"]) for item in error.errors()
        ],
    )


async def on_database_error(_: Request, error: Exception) -> JSONResponse:
    """A lost connection, too much work and a full disk pass: 503. The rest is a bug: 500."""
    if isinstance(error, DatabaseUnavailableError):
        detail, reason = str(error), repr(error.__cause__)
    elif isinstance(error, PoolTimeoutError):
        detail, reason = "The database is busy.", str(error)
    elif isinstance(error, DBAPIError) and error.connection_invalidated:
        detail, reason = "The connection to the database was lost.", str(error.orig)
    elif isinstance(error, DBAPIError) and "database is locked" in str(error.orig):
        detail, reason = "The database is busy.", str(error.orig)
    elif isinstance(error, DBAPIError) and lacks_resources(error):
        detail, reason = "The database cannot take anything at the moment.", str(error.orig)
    else:
        raise error
    structlog.get_logger().error("database_unavailable", reason=reason)
    return problem_response(503, detail, headers={"Retry-After": "5"})


def lacks_resources(error: DBAPIError) -> bool:
    """Its disk is full, say, or it is read-only after a failover, or out of time."""
    text = str(error.orig)
    full = "database or disk is full" in text or "disk I/O error" in text
    return full or str(getattr(error.orig, "sqlstate", "")).startswith(PASSING_STATES)


def document(app: FastAPI) -> None:
    """Put Problem among the components of the OpenAPI schema, for RESPONSES to refer to."""
    schema_of_routes = app.openapi
    _, definitions = models_json_schema(
        [(Problem, "serialization")], ref_template="#/components/schemas/{model}"
    )

    def openapi() -> dict[str, Any]:
        schema = schema_of_routes()
        schema.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
        return schema

    app.openapi = openapi  # type: ignore[method-assign]


def install(app: FastAPI) -> None:
    app.add_exception_handler(DomainError, on_domain_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    for error in (DatabaseUnavailableError, DBAPIError, PoolTimeoutError):
        app.add_exception_handler(error, on_database_error)
    document(app)
