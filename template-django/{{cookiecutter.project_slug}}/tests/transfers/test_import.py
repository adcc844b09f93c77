from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.files.storage import FileSystemStorage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from apps.core.errors import StorageError
from apps.jobs.models import Job
from apps.transfers.models import State, Transfer
from apps.transfers.tables import write_xlsx
from apps.users.models import User
from tests.jobs.plugin import RunJobs
from tests.users.factories import make_user

LOGIN = User.USERNAME_FIELD
IMPORT = "admin:users_user_import"
TWO = f"{LOGIN},first name,active\nbea@example.com,Bea,TRUE\ncid@example.com,Cid,no\n"

pytestmark = pytest.mark.django_db


def clerk(name: str = "clerk", *verbs: str) -> User:
    user = make_user(name, is_staff=True)
    codenames = [f"{verb}_user" for verb in verbs or ("view", "add", "change")]
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return user


@pytest.fixture
def page(client: Client) -> Client:
    client.force_login(clerk())
    return client


def upload(client: Client, content: str | bytes, name: str = "people.csv") -> str:
    """The sentence that refuses the file, or the address of its page."""
    content = content.encode() if isinstance(content, str) else content
    response = client.post(reverse(IMPORT), {"file": SimpleUploadedFile(name, content)})
    if response.status_code == 302:
        return response.headers["Location"]
    assert response.status_code == 200
    return str(response.context["form"].errors["file"][0])


def kept() -> Transfer:
    return Transfer.objects.get()


def is_kept(transfer: Transfer) -> bool:
    return transfer.file.storage.exists(str(transfer.file.name))


def errors() -> list[tuple[int | None, str, str]]:
    assert kept().state == State.REFUSED
    return [(error["row"], error["column"], error["message"]) for error in kept().errors]


def people() -> set[str]:
    return set(User.objects.exclude(first_name="").values_list("first_name", flat=True))


def test_nothing_is_written_before_it_is_seen_and_confirmed(page: Client) -> None:
    address = upload(page, TWO)

    shown = page.get(address).content.decode()

    assert "2 new, 0 changed, 0 unchanged. Nothing is written yet." in shown
    assert "Bea" in shown
    assert people() == set()

    done = page.post(address, {"_confirm": ""}, follow=True).content.decode()

    assert "Imported: 2 new, 0 changed, 0 unchanged." in done
    assert people() == {"Bea", "Cid"}
    assert not User.objects.get(first_name="Cid").is_active
    assert not User.objects.get(first_name="Bea").has_usable_password()


def test_the_log_of_the_admin_says_who_imported_what(page: Client) -> None:
    page.post(upload(page, TWO), {"_confirm": ""})

    entries = LogEntry.objects.filter(change_message="Imported from people.csv")
    assert [entry.user for entry in entries] == [kept().created_by] * 2


def test_a_workbook_is_imported_like_csv(page: Client) -> None:
    content = write_xlsx([LOGIN, "First_Name"], [["bea@example.com", "Bea"]])

    page.post(upload(page, content, "people.xlsx"), {"_confirm": ""})

    assert people() == {"Bea"}


def test_what_changes_is_shown_beside_what_it_was(page: Client) -> None:
    make_user("bea", first_name="Beatrix")
    same = make_user("cid", first_name="Cid", is_active=False)
    content = TWO.replace("cid@example.com", getattr(same, LOGIN))
    content = content.replace(
        "bea@example.com", getattr(User.objects.get(first_name="Beatrix"), LOGIN)
    )

    address = upload(page, content)
    shown = page.get(address).content.decode()

    assert "0 new, 1 changed, 1 unchanged" in shown
    assert "<del>Beatrix</del> <ins>Bea</ins>" in shown
    page.post(address, {"_confirm": ""})
    assert people() == {"Bea", "Cid"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("name,nickname\nAnn,A", f"missing: {LOGIN}; unknown: name, nickname"),
        (f"{LOGIN},{LOGIN}\na,b", f"there twice: {LOGIN}"),
        ("Zoë".encode("latin-1"), "is not encoded in UTF-8"),
        (" ", "The file is empty."),
    ],
)
def test_a_file_that_does_not_fit_is_refused_on_the_page(
    page: Client, content: str | bytes, sentence: str
) -> None:
    assert sentence in upload(page, content)
    assert not Transfer.objects.exists()


def test_a_file_that_is_too_large_is_refused_in_a_sentence(
    page: Client, settings: Settings
) -> None:
    file = SimpleUploadedFile("people.csv", b"x" * (settings.ENV.max_upload_size + 1))

    response = page.post(reverse(IMPORT), {"file": file})

    assert response.status_code == 413
    assert b"More was sent than the 10 MB that are allowed." in response.content
    assert not Transfer.objects.exists()


def test_without_a_file_the_form_says_so(page: Client) -> None:
    assert "This field is required." in page.post(reverse(IMPORT)).content.decode()


def test_each_bad_row_is_named_and_no_row_is_written(page: Client) -> None:
    address = upload(
        page,
        f"{LOGIN},first name,active\n"
        "good@example.com,Good,TRUE\n"
        ",Nobody,TRUE\n"
        "\n"
        "bea@example.com,Bea,perhaps\n"
        "cid@example.com,=1+1,TRUE\n"
        "good@example.com,Twice,TRUE\n"
        "dan@example.com,Dan,TRUE,too much\n"
        f"eve@example.com,{'E' * 151},TRUE\n",
    )

    assert errors() == [
        (3, LOGIN, "This cell must not be empty."),
        (5, "active", "“perhaps” is neither TRUE nor FALSE."),
        (6, "first name", "A formula is not imported: enter the value itself."),
        (7, "", "Row 2 is about the same user."),
        (8, "", "The row has 4 cells, not 3."),
        (9, "first name", "Ensure this value has at most 150 characters (it has 151)."),
    ]
    shown = page.get(address).content.decode()
    assert "Nothing was imported: 6 errors." in shown
    assert "“perhaps” is neither TRUE nor FALSE." in shown
    page.post(address, {"_confirm": ""})
    assert people() == set()


def test_of_very_many_errors_the_first_are_shown(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.transfers.steps.REPORTED", 2)

    address = upload(page, f"{LOGIN},active\n" + ",TRUE\n" * 7)

    assert "And 5 more." in page.get(address).content.decode()


def test_what_an_export_wrote_is_imported_as_it_was(page: Client) -> None:
    user = make_user("bea", first_name="=1+1", last_name="-Lee")
    exported = page.post(reverse("admin:users_user_export"), {"format": "csv"}).content

    address = upload(page, exported)

    assert "0 new, 0 changed, 2 unchanged" in page.get(address).content.decode()
    user.refresh_from_db()
    assert user.first_name == "=1+1"


def test_a_large_file_is_checked_and_imported_in_jobs(
    page: Client,
    settings: Settings,
    run_jobs: RunJobs,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    settings.TRANSFER_ROWS_IN_REQUEST = 1

    address = upload(page, TWO)
    assert "The file is being checked." in page.get(address).content.decode()
    assert "No worker has taken this yet" not in page.get(address).content.decode()
    Job.objects.update(run_at=timezone.now() - timedelta(seconds=6))
    assert "No worker has taken this yet" in page.get(address).content.decode()
    assert 'http-equiv="refresh"' in page.get(address).content.decode()
    Job.objects.update(progress_done=1, progress_total=2)
    assert "1 of 2 rows" in page.get(address).content.decode()

    run_jobs()
    assert "2 new" in page.get(address).content.decode()
    page.post(address, {"_confirm": ""})
    assert "The rows are being imported." in page.get(address).content.decode()
    assert people() == set()

    with django_capture_on_commit_callbacks(execute=True):
        run_jobs()
    assert "Imported: 2 new" in page.get(address).content.decode()
    assert people() == {"Bea", "Cid"}
    assert not is_kept(kept())
    assert {job.label for job in Job.objects.all()} == {"Check people.csv", "Import people.csv"}
    assert {job.created_by for job in Job.objects.all()} == {kept().created_by}


def test_a_large_workbook_is_not_even_read_in_the_request(
    page: Client, monkeypatch: pytest.MonkeyPatch, run_jobs: RunJobs
) -> None:
    monkeypatch.setattr("apps.transfers.services.READ_AT_ONCE", 100)

    upload(page, write_xlsx(["name"], [["Bea"]]), "people.xlsx")
    assert kept().state == State.UPLOADED

    run_jobs()
    [(row, column, message)] = errors()
    assert (row, column) == (None, "")
    assert f"missing: {LOGIN}; unknown: name" in message


def test_a_job_that_comes_twice_imports_once(
    page: Client, settings: Settings, run_jobs: RunJobs
) -> None:
    settings.TRANSFER_ROWS_IN_REQUEST = 1
    address = upload(page, TWO)
    run_jobs()
    page.post(address, {"_confirm": ""})
    page.post(address, {"_confirm": ""})
    assert len(run_jobs()) == 1

    Job.objects.update(state=Job.State.QUEUED, lease=None)
    run_jobs()

    assert people() == {"Bea", "Cid"}
    assert LogEntry.objects.count() == 2
    assert kept().state == State.IMPORTED


def test_rights_that_were_taken_away_meanwhile_count(
    page: Client, settings: Settings, run_jobs: RunJobs
) -> None:
    settings.TRANSFER_ROWS_IN_REQUEST = 1
    address = upload(page, TWO)
    run_jobs()
    page.post(address, {"_confirm": ""})
    User.objects.get().user_permissions.clear()

    run_jobs()

    assert errors() == [(None, "", "You may not import these rows.")]
    assert people() == set()


def test_an_import_of_somebody_who_is_gone_does_not_happen(
    page: Client, settings: Settings, run_jobs: RunJobs
) -> None:
    settings.TRANSFER_ROWS_IN_REQUEST = 1
    upload(page, TWO)
    User.objects.all().delete()

    run_jobs()

    assert errors() == [(None, "", "You may not import these rows.")]


def test_rows_that_became_bad_meanwhile_are_refused(page: Client) -> None:
    address = upload(page, TWO)
    make_user(
        "bea", is_superuser=True, **({"email": "bea@example.com"} if LOGIN == "email" else {})
    )
    User.objects.filter(is_superuser=True).update(**{LOGIN: "bea@example.com"})

    page.post(address, {"_confirm": ""})

    [(row, _, message)] = errors()
    assert row == 2
    assert "already exists" in message
    assert people() == set()


def test_a_row_that_another_takes_at_the_last_moment_stops_all(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = upload(page, TWO)
    monkeypatch.setattr(User, "validate_unique", lambda *_, **__: None)
    monkeypatch.setattr(User, "validate_constraints", lambda *_, **__: None)
    monkeypatch.setattr(
        "apps.transfers.resources.TransferResource.get_instance", lambda *_, **__: None
    )
    other = make_user("other")
    User.objects.filter(pk=other.pk).update(**{LOGIN: "cid@example.com"})

    page.post(address, {"_confirm": ""})

    assert errors() == [
        (None, "", "The rows changed while they were imported: upload the file once more.")
    ]
    assert people() == set()


def test_a_row_that_is_deleted_at_the_last_moment_stops_all(
    page: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    bea = make_user("bea")
    User.objects.filter(pk=bea.pk).update(**{LOGIN: "bea@example.com"})
    address = upload(page, TWO)

    def delete_first(manager: object, rows: list[User], *_: object, **__: object) -> int:
        User.objects.filter(pk=bea.pk).delete()
        return 0

    monkeypatch.setattr("django.db.models.query.QuerySet.bulk_update", delete_first)
    page.post(address, {"_confirm": ""})

    assert kept().state == State.REFUSED
    assert people() == set()


def test_superusers_are_not_changed_by_others(page: Client) -> None:
    boss = make_user("boss", is_superuser=True, first_name="Boss")

    upload(page, f"{LOGIN},first name\n{getattr(boss, LOGIN)},Fool\n")

    assert "already exists" in errors()[0][2]
    boss.refresh_from_db()
    assert boss.first_name == "Boss"


def test_rights_do_not_come_in_by_a_file(page: Client) -> None:
    assert "unknown: is_superuser" in upload(page, f"{LOGIN},is_superuser\nx@example.com,1")
    page.post(upload(page, f"{LOGIN},staff\nx@example.com,TRUE"), {"_confirm": ""})

    assert not User.objects.get(**{LOGIN: "x@example.com"}).is_staff


@pytest.mark.parametrize("verbs", [("view",), ("view", "add"), ("view", "change"), ("add", "x")])
def test_only_who_may_add_and_change_rows_imports(client: Client, verbs: tuple[str, ...]) -> None:
    client.force_login(clerk("reader", *verbs))

    assert client.get(reverse(IMPORT)).status_code == 403
    assert client.get(reverse("admin:users_user_transfer", args=[uuid4()])).status_code == 403
    if "view" in verbs:
        assert b"import_link" not in client.get(reverse("admin:users_user_changelist")).content


def test_nobody_sees_or_confirms_the_file_of_somebody_else(page: Client) -> None:
    address = upload(page, TWO)
    other = Client()
    other.force_login(clerk("other"))

    assert other.get(address).status_code == 404
    assert other.post(address, {"_confirm": ""}).status_code == 404
    assert other.post(address, {"_discard": ""}).status_code == 404
    assert kept().state == State.CHECKED


def test_a_file_is_kept_under_a_name_that_nobody_chose(page: Client) -> None:
    upload(page, TWO, "../../evil.csv")

    assert kept().file.name == f"transfers/{kept().pk}"
    assert kept().name == "evil.csv"


def test_a_discarded_file_is_gone(page: Client) -> None:
    address = upload(page, TWO)
    transfer = kept()
    assert is_kept(transfer)

    page.post(address, {"_discard": ""})

    assert not is_kept(transfer)
    assert not Transfer.objects.exists()


def test_what_was_imported_stays_on_record(page: Client) -> None:
    address = upload(page, TWO)
    page.post(address, {"_confirm": ""})

    page.post(address, {"_discard": ""})

    assert kept().state == State.IMPORTED


def test_a_file_that_nobody_confirms_is_thrown_away_after_a_week(page: Client) -> None:
    upload(page, TWO)
    old = kept()
    Transfer.objects.update(created_at=timezone.now() - timedelta(days=8))

    upload(page, TWO)

    assert kept().pk != old.pk
    assert not is_kept(old)


def test_an_import_whose_job_gave_up_says_so(
    page: Client, settings: Settings, run_jobs: RunJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(_: Transfer) -> None:
        raise RuntimeError

    settings.TRANSFER_ROWS_IN_REQUEST = 1
    address = upload(page, TWO)
    monkeypatch.setattr("apps.transfers.steps.read", give_up)

    [job] = run_jobs()

    assert job.state == Job.State.FAILED
    assert "This import stopped and nothing was written" in page.get(address).content.decode()


def test_the_administrator_sees_who_imported_what(
    page: Client, client: Client, administrator: User
) -> None:
    upload(page, TWO)
    client.force_login(administrator)

    assert (
        "people.csv" in client.get(reverse("admin:transfers_transfer_changelist")).content.decode()
    )
    change = reverse("admin:transfers_transfer_change", args=[kept().pk])
    assert "people.csv" in client.get(change).content.decode()
    assert client.get(reverse("admin:transfers_transfer_add")).status_code == 403
    assert str(kept()) == "people.csv"


class AwayStorage(FileSystemStorage):
    """Keeps nothing and gives nothing out, as a bucket that does not answer."""

    def refuse(self, *_: object, **__: object) -> Any:
        raise StorageError("The file store does not answer.")

    _open: Any = refuse
    _save: Any = refuse
    delete: Any = refuse
    exists: Any = refuse


STORE_AWAY = {"default": {"BACKEND": f"{__name__}.AwayStorage"}}


def test_an_upload_while_the_storage_is_away_is_one_sentence_and_leaves_nothing(
    page: Client, settings: Settings
) -> None:
    settings.STORAGES = settings.STORAGES | STORE_AWAY

    assert upload(page, TWO) == "The file store does not answer."
    assert not Transfer.objects.exists()
    assert not Job.objects.exists()


def test_an_import_is_confirmed_again_when_the_storage_is_back(
    page: Client, settings: Settings
) -> None:
    address = upload(page, TWO)
    working = settings.STORAGES
    settings.STORAGES = working | STORE_AWAY

    shown = page.post(address, {"_confirm": ""}, follow=True).content.decode()

    assert "The file store does not answer." in shown
    assert "Confirm import" in shown
    assert people() == set()

    settings.STORAGES = working
    page.post(address, {"_confirm": ""})
    assert people() == {"Bea", "Cid"}


def test_a_job_of_an_import_waits_for_the_storage(
    page: Client, settings: Settings, run_jobs: RunJobs
) -> None:
    settings.TRANSFER_ROWS_IN_REQUEST = 1
    address = upload(page, TWO)
    working = settings.STORAGES
    settings.STORAGES = working | STORE_AWAY
    (job,) = run_jobs()

    assert (job.state, job.error) == (Job.State.QUEUED, "The file store does not answer.")
    assert "It is tried again by itself." in page.get(address).content.decode()

    settings.STORAGES = working
    run_jobs(later=True)
    assert kept().state == State.CHECKED


def test_a_file_that_cannot_be_removed_now_is_removed_later(
    page: Client,
    settings: Settings,
    run_jobs: RunJobs,
    django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
) -> None:
    address = upload(page, TWO)
    storage, name = kept().file.storage, str(kept().file.name)
    working = settings.STORAGES
    settings.STORAGES = working | STORE_AWAY
    page.post(address, {"_discard": ""})

    assert not Transfer.objects.exists()
    (job,) = run_jobs()
    assert job.state == Job.State.QUEUED

    settings.STORAGES = working
    run_jobs(later=True)
    assert not storage.exists(name)


def test_an_import_whose_file_is_gone_is_refused_in_words(page: Client) -> None:
    address = upload(page, TWO)
    kept().file.storage.delete(str(kept().file.name))

    page.post(address, {"_confirm": ""})

    assert "The file is not there any more" in errors()[0][2]
