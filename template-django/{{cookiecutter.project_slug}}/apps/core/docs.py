"""The API's description of itself: /openapi.json, and Swagger UI and ReDoc that show it."""

from typing import Any

from django.urls import URLPattern, path
from drf_spectacular.renderers import OpenApiJsonRenderer2
from drf_spectacular.views import (
    SpectacularAPIView,
    SpectacularRedocView,
    SpectacularSwaggerSplitView,
)

from apps.core.errors import MEDIA_TYPE

INVALID_FIELD = {
    "type": "object",
    "properties": {
        "location": {
            "type": "array",
            "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        },
        "message": {"type": "string"},
    },
    "required": ["location", "message"],
}
PROBLEM = {
    "type": "object",
    "properties": {
        "type": {"type": "string", "default": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string"},
        "errors": {"type": "array", "items": {"$ref": "#/components/schemas/InvalidField"}},
    },
    "required": ["title", "status"],
}
RESPONSES = {
    status: {
        "description": description,
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    for status, description in (("4XX", "Refused"), ("5XX", "Failed"))
}


def document_problems(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """Whatever is refused or fails is a Problem."""
    components = result.setdefault("components", {}).setdefault("schemas", {})
    components |= {"InvalidField": INVALID_FIELD, "Problem": PROBLEM}
    for operations in result["paths"].values():
        for operation in operations.values():
            operation["responses"] = RESPONSES | operation["responses"]
    return result


def document_empty_filters(result: dict[str, Any], **_: object) -> dict[str, Any]:
    """A filter without a value, as forms send it, filters nothing."""
    for operations in result["paths"].values():
        for parameter in operations.get("get", {}).get("parameters", ()):
            if parameter["in"] == "query" and parameter["name"] != "limit":
                parameter["allowEmptyValue"] = True
    return result


class Json(OpenApiJsonRenderer2):
    media_type = "application/json"


class OpenApi(SpectacularAPIView):
    renderer_classes = [Json]  # noqa: RUF012 - the base class has a list


class Redoc(SpectacularRedocView):
    template_name = "core/redoc.html"


def pages() -> list[URLPattern]:
    return [
        path("openapi.json", OpenApi.as_view(), name="schema"),
        path("docs", SpectacularSwaggerSplitView.as_view(), name="docs"),
        path("redoc", Redoc.as_view(), name="redoc"),
    ]
