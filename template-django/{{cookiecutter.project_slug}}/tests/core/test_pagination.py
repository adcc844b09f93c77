from typing import Any

import pytest
from django.db.models import QuerySet
from rest_framework.filters import OrderingFilter
from rest_framework.generics import ListAPIView
from rest_framework.permissions import AllowAny
from rest_framework.serializers import ModelSerializer
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from apps.core.pagination import CursorPagination
from apps.users.models import User
from tests.users.factories import make_user

pytestmark = pytest.mark.django_db


class Row(ModelSerializer[User]):
    class Meta:
        model = User
        fields = ("id", "first_name", "date_joined")


class Rows(ListAPIView[User]):
    serializer_class = Row
    permission_classes = (AllowAny,)
    filter_backends = (OrderingFilter,)
    ordering_fields = ("first_name", "date_joined")
    ordering = ("first_name",)

    def get_queryset(self) -> QuerySet[User]:
        return User.objects.all()


class Unfiltered(Rows):
    filter_backends = ()  # type: ignore[assignment]  # fewer


def ask(view: type[Rows] = Rows, **query: Any) -> Any:
    return view.as_view()(APIRequestFactory().get("/rows", query))


def walk(**query: Any) -> list[str]:
    """The names on all pages."""
    names: list[str] = []
    page = ask(**query).data
    names += [item["first_name"] for item in page["items"]]
    while page["next_cursor"]:
        page = ask(cursor=page["next_cursor"], **query).data
        names += [item["first_name"] for item in page["items"]]
    return names


@pytest.fixture(autouse=True)
def people() -> None:
    for number, name in enumerate(["Dan", "Ann", "Bob", "Bob", "Bob", "Cid"]):
        make_user(f"person{number}", first_name=name)


@pytest.mark.parametrize("limit", [1, 2, 4, 50])
def test_pages_together_hold_every_row_once_and_in_order(limit: int) -> None:
    assert walk(limit=limit) == ["Ann", "Bob", "Bob", "Bob", "Cid", "Dan"]
    assert walk(limit=limit, sort="-first_name") == ["Dan", "Cid", "Bob", "Bob", "Bob", "Ann"]
    assert walk(limit=limit, sort="date_joined") == ["Dan", "Ann", "Bob", "Bob", "Bob", "Cid"]


def test_a_view_without_sorting_keeps_its_own_order() -> None:
    names = [item["first_name"] for item in ask(Unfiltered).data["items"]]

    assert names == ["Ann", "Bob", "Bob", "Bob", "Cid", "Dan"]


def test_rows_that_come_in_between_are_neither_skipped_nor_shown_twice() -> None:
    first = ask(limit=2).data
    make_user("early", first_name="Aaron")
    second = ask(limit=2, cursor=first["next_cursor"]).data

    assert [item["first_name"] for item in second["items"]] == ["Bob", "Bob"]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "many", "9" * 30])
def test_a_page_size_out_of_bounds_is_refused(limit: str) -> None:
    response = ask(limit=limit)

    assert response.status_code == 422
    assert response.data["detail"] == "limit must be a number from 1 to 200."


@pytest.mark.parametrize(
    ("cursor", "sort"),
    [("nonsense", "first_name"), ("cD1ub3QtYS1kYXRl", "date_joined"), ("%00", "first_name")],
)
def test_a_cursor_that_is_not_ours_is_refused(cursor: str, sort: str) -> None:
    response = ask(cursor=cursor, sort=sort)

    assert response.status_code == 422
    assert "not one of ours" in response.data["detail"]


def test_the_description_says_how_many_rows_a_page_may_have() -> None:
    described = CursorPagination().get_schema_operation_parameters(APIView())
    (limit,) = [one["schema"] for one in described if one["name"] == "limit"]

    assert (limit["minimum"], limit["maximum"]) == (1, 200)
