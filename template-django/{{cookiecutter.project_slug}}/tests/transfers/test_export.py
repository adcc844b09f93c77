import io

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from openpyxl import load_workbook

from apps.users.models import User
from tests.users.factories import PASSWORD, make_user

EXPORT = "admin:users_user_export"
LIST = "admin:users_user_changelist"

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def test_the_export_page_says_what_comes_and_gives_it_as_csv(page: Client) -> None:
    make_user("bea", first_name="=1+1")

    shown = page.get(reverse(EXPORT)).content.decode()
    response = page.post(reverse(EXPORT), {"format": "csv"})

    assert "2 rows" in shown
    assert response.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="users-2')
    assert "'=1+1" in response.content.decode("utf-8-sig")


def test_nothing_of_a_password_leaves(page: Client) -> None:
    user = make_user("bea", last_name="Lee")

    content = page.post(reverse(EXPORT), {"format": "csv"}).content.decode()

    assert "Lee" in content
    assert user.password not in content
    assert PASSWORD not in content
    assert "password" not in content


def test_what_the_list_filters_the_export_filters(page: Client) -> None:
    make_user("bea", first_name="Bea", is_active=False)

    content = page.post(reverse(EXPORT) + "?is_active__exact=0", {"format": "xlsx"}).content

    rows = list(load_workbook(io.BytesIO(content)).worksheets[0].iter_rows(values_only=True))
    assert [row[1] for row in rows] == ["first name", "Bea"]
    assert rows[1][3] is False


def test_a_filter_or_format_that_there_is_not_is_a_bad_request(page: Client) -> None:
    assert page.get(reverse(EXPORT) + "?no_such_field=1").status_code == 400
    assert page.post(reverse(EXPORT), {"format": "html"}).status_code == 400


@pytest.mark.parametrize("form", ["csv", "xlsx"])
def test_selected_rows_are_exported_by_an_action(page: Client, form: str) -> None:
    user = make_user("bea", first_name="Bea")

    response = page.post(reverse(LIST), {"action": f"export_{form}", "_selected_action": [user.pk]})

    assert response.headers["Content-Disposition"].endswith(f'.{form}"')


def test_the_list_links_to_import_and_export(page: Client) -> None:
    content = page.get(reverse(LIST)).content.decode()

    assert reverse(EXPORT) in content
    assert reverse("admin:users_user_import") in content


def test_models_without_a_resource_offer_neither(page: Client) -> None:
    content = page.get(reverse("admin:auth_group_changelist")).content.decode()

    assert "Export" not in content
    assert page.get(reverse("admin:auth_group_changelist") + "export/").status_code != 200


def test_only_who_may_see_rows_exports_them(client: Client) -> None:
    user = make_user("adder", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="add_user"))
    client.force_login(user)

    assert client.get(reverse(EXPORT)).status_code == 403
    assert client.post(reverse(EXPORT), {"format": "csv"}).status_code == 403
