from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.contrib.messages import get_messages
from django.db.migrations.state import ModelState
from django.db.models import Model
from django.test import Client, RequestFactory
from django.urls import reverse

from apps.core.admin import SiteModelAdmin
from apps.core.signals import rows_written
from apps.history.records import history_of, is_tracked
from apps.users.models import User
from tests.users.factories import make_user

LOGIN = User.USERNAME_FIELD

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client: Client, administrator: User) -> Client:
    client.force_login(administrator)
    return client


def test_migrations_of_versions_run_without_the_package_that_keeps_them() -> None:
    versions = [model for model in apps.get_models() if hasattr(model, "history_object")]

    assert versions
    assert {ModelState.from_model(model).bases for model in versions} == {(Model,)}


def history_page(user: User | int) -> str:
    return reverse("admin:users_user_history", args=[user if isinstance(user, int) else user.pk])


def version_page(user: User | int, version: Any) -> str:
    pk = user if isinstance(user, int) else user.pk
    return reverse("admin:users_user_simple_history", args=[pk, version])


def versions(user: User) -> list[Any]:
    """Of the user, the oldest first."""
    return list(history_of(User).filter(id=user.pk).order_by("history_id"))


def fields_of(user: User, **values: str) -> dict[str, Any]:
    return {LOGIN: getattr(user, LOGIN), "email": user.email, "is_active": "on"} | values


def change(client: Client, user: User, **values: str) -> None:
    address = reverse("admin:users_user_change", args=[user.pk])
    assert client.post(address, fields_of(user, **values)).status_code == 302


def test_the_history_says_who_changed_what_from_what_to_what(
    page: Client, administrator: User
) -> None:
    user = make_user("bea", first_name="Bea")
    group = Group.objects.create(name="Clerks")

    change(page, user, first_name="Beatrix", groups=str(group.pk))
    shown = page.get(history_page(user)).content.decode()

    assert str(administrator) in shown
    assert "First name" in shown
    assert "Bea" in shown
    assert "Beatrix" in shown
    assert "[Clerks]" in shown
    first, account = versions(user)[0], reverse("admin:users_user_change", args=[administrator.pk])
    assert f'href="{version_page(user, first.pk)}"' in shown
    # Few may open it.
    assert f'href="{account}">{administrator}' not in shown
    assert versions(user)[-1].history_user == administrator


def test_passwords_and_logins_have_no_history(page: Client) -> None:
    user = make_user("bea")
    user.set_password("another-password")
    user.save()
    before = len(versions(user))
    Client().force_login(user)

    assert len(versions(user)) == before
    names = {field.name for field in history_of(User).model._meta.get_fields()}
    assert {"password", "last_login"} & names == set()
    assert "Password" not in page.get(history_page(user)).content.decode()


def test_a_version_is_shown_and_a_press_of_the_button_brings_it_back(
    page: Client, administrator: User
) -> None:
    user = make_user("bea", first_name="Bea")
    old = user.password
    change(page, user, first_name="Beatrix")
    first = versions(user)[0]

    shown = page.get(version_page(user, first.pk)).content.decode()
    user.refresh_from_db()
    assert 'value="Bea"' in shown
    assert user.first_name == "Beatrix"

    page.post(version_page(user, first.pk), fields_of(user, first_name="Bea"))
    user.refresh_from_db()
    assert user.first_name == "Bea"
    assert user.password == old
    assert versions(user)[-1].history_change_reason.startswith("Reverted to 20")
    assert versions(user)[-1].history_user == administrator


def test_who_may_only_look_sees_the_history_and_cannot_revert(client: Client) -> None:
    user = make_user("bea", first_name="Bea")
    User.objects.get(pk=user.pk).save()
    reader = make_user("reader", is_staff=True)
    reader.user_permissions.set(Permission.objects.filter(codename="view_user"))
    client.force_login(reader)
    version = version_page(user, versions(user)[0].pk)

    assert client.get(history_page(user)).status_code == 200
    assert client.get(version).status_code == 200
    assert client.post(version, fields_of(user, first_name="Fool")).status_code == 403
    user.refresh_from_db()
    assert user.first_name == "Bea"


def test_who_may_not_look_has_no_history(client: Client) -> None:
    user = make_user("bea")
    client.force_login(make_user("nobody", is_staff=True))

    assert client.get(history_page(user)).status_code == 403
    assert client.get(version_page(user, versions(user)[0].pk)).status_code == 403


def test_a_deleted_row_has_a_history_and_comes_back(page: Client) -> None:
    user = make_user("bea", first_name="Bea")
    pk = user.pk
    user.delete()
    first = history_of(User).filter(id=pk).earliest().pk

    assert page.get(history_page(pk)).status_code == 200
    assert not User.objects.filter(pk=pk).exists()
    page.post(version_page(pk, first), {LOGIN: "bea@example.com", "email": "bea@example.com"})

    assert User.objects.get(pk=pk).first_name == ""
    assert not User.objects.get(pk=pk).check_password("")


def test_to_bring_back_a_deleted_row_takes_the_right_to_add(client: Client) -> None:
    user = make_user("bea")
    pk, first = user.pk, versions(user)[0].pk
    user.delete()
    changer = make_user("changer", is_staff=True)
    changer.user_permissions.set(Permission.objects.filter(codename="change_user"))
    client.force_login(changer)

    assert client.post(version_page(pk, first), {LOGIN: "bea@example.com"}).status_code == 403


def hide(monkeypatch: pytest.MonkeyPatch, **hidden: Any) -> None:
    """The list of people does not have these."""
    model_admin = admin.site.get_model_admin(User)
    rows = model_admin.get_queryset
    monkeypatch.setattr(
        model_admin, "get_queryset", lambda request: rows(request).exclude(**hidden)
    )


def is_not_found(client: Client, address: str) -> bool:
    """Answered as the admin answers for any row that is not there."""
    response = client.get(address)
    texts = [str(message) for message in get_messages(response.wsgi_request)]
    return response.headers.get("Location") == reverse("admin:index") and any(
        "doesn’t exist" in text  # noqa: RUF001 - Django's sentence
        for text in texts
    )


@pytest.mark.parametrize("deleted", [False, True])
def test_rows_that_somebody_does_not_see_have_no_history(
    page: Client, monkeypatch: pytest.MonkeyPatch, deleted: bool
) -> None:
    user = make_user("bea", first_name="Bea")
    pk, first = user.pk, versions(user)[0].pk
    if deleted:
        user.delete()
    hide(monkeypatch, first_name="Bea")

    assert is_not_found(page, history_page(pk))
    assert is_not_found(page, version_page(pk, first))
    assert page.post(version_page(pk, first), {"first_name": "Fool"}).status_code == 302
    assert not User.objects.filter(first_name="Fool").exists()


def test_a_version_of_another_row_is_not_found(page: Client, administrator: User) -> None:
    user = make_user("bea")

    assert is_not_found(page, version_page(user, versions(administrator)[0].pk))


@pytest.mark.parametrize("key", ["0", "abc", "999999999999999999999", "_5F"])
def test_what_is_no_row_or_version_is_not_found(page: Client, key: str) -> None:
    user = make_user("bea")

    assert is_not_found(page, history_page(user).replace(f"/{user.pk}/", f"/{key}/"))
    assert is_not_found(page, version_page(user, key))


def test_nobody_reverts_a_row_to_where_they_do_not_see_it(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user("bea", first_name="Bea")
    change(page, user, first_name="Beatrix")
    hide(monkeypatch, first_name="Bea")

    response = page.post(
        version_page(user, versions(user)[0].pk), fields_of(user, first_name="Bea")
    )

    assert response.status_code == 403
    user.refresh_from_db()
    assert user.first_name == "Beatrix"


def test_a_deleted_row_whose_place_is_taken_is_for_superusers(page: Client, client: Client) -> None:
    user = make_user("bea")
    pk = user.pk
    user.delete()
    make_user("bea")
    reader = make_user("reader", is_staff=True)
    reader.user_permissions.set(Permission.objects.filter(codename="view_user"))

    assert page.get(history_page(pk)).status_code == 200
    client.force_login(reader)
    assert is_not_found(client, history_page(pk))


def test_related_rows_that_somebody_does_not_see_are_not_named(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = make_user("bea")
    user.groups.add(Group.objects.create(name="Secret"))
    groups = admin.site.get_model_admin(Group)
    monkeypatch.setattr(groups, "get_queryset", lambda request: Group.objects.none())

    shown = page.get(history_page(user)).content.decode()

    assert "(not visible)" in shown
    assert "Secret" not in shown


def test_rows_written_in_bulk_have_a_history_too(administrator: User) -> None:
    users = User.objects.bulk_create([User(**{LOGIN: "a@example.com"})])

    for written in ({"created": users, "updated": []}, {"created": [], "updated": users}):
        rows_written.send(sender=User, **written, user=administrator, reason="Imported from a.csv")

    records = versions(users[0])
    assert [record.history_type for record in records] == ["+", "~"]
    assert {record.history_user for record in records} == {administrator}
    assert {record.history_change_reason for record in records} == {"Imported from a.csv"}


def test_models_without_a_history_keep_the_log_of_the_admin(
    rf: RequestFactory, administrator: User
) -> None:
    group = Group.objects.create(name="Clerks")
    rows_written.send(sender=Group, created=[group], updated=[], user=administrator, reason="")

    request = rf.get("/")
    request.user = administrator
    model_admin = SiteModelAdmin(Group, admin.site)
    assert not is_tracked(Group)
    assert model_admin.history_view(request, str(group.pk)).status_code == 200
    assert not [url for url in model_admin.get_urls() if "simple_history" in str(url.name)]


def test_a_long_history_is_read_page_after_page(
    page: Client, administrator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin.site.get_model_admin(User), "history_list_per_page", 1)
    user = make_user("bea", first_name="Bea")
    change(page, user, first_name="Beatrix")

    assert "?p=2" in page.get(history_page(user)).content.decode()
    assert "Created" in page.get(history_page(user) + "?p=2").content.decode()
