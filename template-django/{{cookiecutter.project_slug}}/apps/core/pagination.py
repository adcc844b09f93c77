"""Cursor pagination: a page begins behind the last row of the one before it, so rows that come and
go in between are neither skipped nor shown twice, and the last page costs as much as the first."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from django.core.exceptions import ValidationError
from django.db import DataError
from django.db.models import QuerySet
from rest_framework import pagination
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.errors import UnprocessableError

NOT_OURS = "The cursor is not one of ours: pass next_cursor of the page before, unchanged."


class CursorPagination(pagination.CursorPagination):
    """`?cursor=...&limit=...`; the view's `ordering` or `?sort=...` decides the order.

    What a view sorts by must not be nullable. The primary key breaks ties.
    """

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    cursor_query_description = "next_cursor of the page before"
    page_size_query_description = f"Rows of a page, at most {max_page_size}"
    ordering = "pk"

    def get_page_size(self, request: Request) -> int:
        given = request.query_params.get("limit", str(self.page_size))
        if not (given.isdecimal() and len(given) < 5 and 1 <= int(given) <= self.max_page_size):
            raise UnprocessableError(f"limit must be a number from 1 to {self.max_page_size}.")
        return int(given)

    def get_ordering(
        self, request: Request, queryset: QuerySet[Any], view: APIView
    ) -> tuple[str, ...]:
        # The view's own order counts where nobody asked for another one.
        self.ordering = getattr(view, "ordering", None) or self.ordering
        ordering = tuple(super().get_ordering(request, queryset, view))
        return (*ordering, "-pk" if ordering[0].startswith("-") else "pk")

    def paginate_queryset(
        self, queryset: Any, request: Request, view: APIView | None = None
    ) -> list[Any] | None:
        try:
            return super().paginate_queryset(queryset, request, view)
        except (DataError, NotFound, OverflowError, ValidationError, ValueError) as error:
            raise UnprocessableError(NOT_OURS) from error

    def encode_cursor(self, cursor: Any) -> str:
        # The cursor alone; its class makes a link of it, and a proxy may have other names for us.
        query = urlsplit(super().encode_cursor(cursor)).query
        return dict(parse_qsl(query))[self.cursor_query_param]

    def get_paginated_response(self, data: Any) -> Response:
        return Response({"items": data, "next_cursor": self.get_next_link()})

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        parameters: list[dict[str, Any]] = super().get_schema_operation_parameters(view)
        for parameter in parameters:
            if parameter["name"] == self.page_size_query_param:
                parameter["schema"] |= {"minimum": 1, "maximum": self.max_page_size}
        return parameters

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        cursor = {
            "type": "string",
            "nullable": True,
            "description": "Pass it as cursor to get the next page",
        }
        return {
            "type": "object",
            "properties": {"items": schema, "next_cursor": cursor},
            "required": ["items", "next_cursor"],
        }
