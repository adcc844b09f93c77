import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from apps.history.records import history_of
from apps.schools.models import Role, Student
from tests.schools.factories import make_member, make_school, make_student

pytestmark = pytest.mark.django_db


def test_an_import_has_a_history_with_who_and_from_where(
    client: Client,
) -> None:
    school = make_school()
    head = make_member(school, Role.HEAD)
    client.force_login(head)
    make_student(school, number="1")
    content = SimpleUploadedFile("rows.csv", b"number,first name,last name\n1,Ann,Lee\n2,Ben,Oak\n")

    response = client.post(reverse("admin:schools_student_import"), {"file": content})
    client.post(response.headers["Location"], {"_confirm": ""})

    records = history_of(Student).filter(history_change_reason="Imported from rows.csv")
    assert {record.history_type for record in records} == {"+", "~"}
    assert {record.history_user for record in records} == {head}
