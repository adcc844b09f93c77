"""The admin of the example. Whatever it shows or takes goes through `SchoolAdmin`: rows, pickers,
filters, imports and histories of one's own schools, and nothing else."""

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.contrib.admin import RelatedOnlyFieldListFilter
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Count, ForeignKey, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from apps.core.admin import SiteModelAdmin, TabularInline
from apps.core.errors import DomainError
from apps.schools import services
from apps.schools.models import (
    Grade,
    Membership,
    Report,
    Role,
    School,
    SchoolClass,
    Student,
    Term,
)
from apps.schools.scoping import two_schools_of
from apps.schools.tasks import reports_path
from apps.users.models import User

LOGIN_NAME = str(getattr(User._meta.get_field(User.USERNAME_FIELD), "verbose_name"))  # noqa: B009
# Rows that a confirmation page names.
MOST_SHOWN = 20
# Students that the page of a class lists itself.
MOST_INLINE = 100


def with_school(row: Any) -> str:
    """For those who see several schools: two of them may have a class 5b."""
    return f"{row} ({row.school})"


def by_school(rows: QuerySet[Any]) -> QuerySet[Any]:
    ordering = rows.model._meta.ordering or ()
    return rows.select_related("school").order_by("school__name", *ordering)


class RowOfSchoolField(forms.ModelChoiceField):  # type: ignore[type-arg]  # not generic at run time
    def label_from_instance(self, obj: Any) -> str:
        return with_school(obj)


class RowOfSchoolFilter(RelatedOnlyFieldListFilter):
    """Offers what the rows of the list have."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        if len(two_schools_of(request)) < 2:
            return super().field_choices(field, request, model_admin)
        listed = model_admin.get_queryset(request).values(f"{self.field_path}__pk")
        rows = by_school(field.related_model._default_manager.filter(pk__in=listed))
        return [(row.pk, with_school(row)) for row in rows]


class SchoolScope:
    """Foreign keys offer and take rows of the user's own schools; for admins and inlines."""

    # Who may add, change and delete besides superusers: None is whoever has the permission.
    needed_role: ClassVar[Role | None] = None

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any, Any], request: HttpRequest, **options: Any
    ) -> Any:
        manager = db_field.related_model._default_manager
        if hasattr(manager, "visible_to"):
            role = self.needed_role if db_field.related_model is School else None
            rows = manager.visible_to(request.user, role)
            several = len(two_schools_of(request)) > 1
            if db_field.related_model in (SchoolClass, Term) and several:
                rows = by_school(rows)
                options["form_class"] = RowOfSchoolField
            options["queryset"] = rows
        field = super().formfield_for_foreignkey(db_field, request, **options)  # type: ignore[misc]  # an admin's
        if field and db_field.related_model in (SchoolClass, Term):
            # Read once: each form of an inline would ask again. A list() of them counts them first.
            field.choices = list(iter(field.choices))
        return field


class SchoolAdmin(SchoolScope, SiteModelAdmin):
    list_per_page = 50
    # Who may delete, where that takes more than to change.
    role_to_delete: ClassVar[Role | None] = None

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).visible_to(request.user)  # type: ignore[attr-defined]  # our querysets

    def get_list_display(self, request: HttpRequest) -> Any:
        columns = super().get_list_display(request)
        if len(two_schools_of(request)) > 1:
            return columns
        return [name for name in columns if name != "school"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        allowed = super().has_add_permission(request)
        return allowed and bool(two_schools_of(request, self.needed_role))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and self.is_within_role(request, obj, self.needed_role)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj)
        return allowed and self.is_within_role(
            request, obj, self.role_to_delete or self.needed_role
        )

    def is_within_role(self, request: HttpRequest, obj: Any, role: Role | None) -> bool:
        """Someone may be the head of one school and a teacher of another.

        Without a role, whoever sees a row may: a deletion asks for each of thousands of grades.
        """
        if obj is None or role is None or getattr(request.user, "is_superuser", False):
            return True
        rows: Any = self.model._default_manager
        return bool(rows.visible_to(request.user, role).filter(pk=obj.pk).exists())

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        # Nothing moves from school to school.
        stays = ("school",) if obj and hasattr(obj, "school_id") else ()
        return (*super().get_readonly_fields(request, obj), *stays)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = dict(super().get_changeform_initial_data(request))
        schools = two_schools_of(request, self.needed_role)
        if len(schools) == 1:
            initial.setdefault("school", schools[0])
        return initial

    def confirm(
        self,
        request: HttpRequest,
        queryset: QuerySet[Any],
        *,
        action: str,
        question: str,
        button: str,
        fields: dict[str, forms.Field],
        act: Callable[[dict[str, Any]], HttpResponse | None],
    ) -> HttpResponse | None:
        """Ask for `fields` on a page of its own, then call `act` with what was chosen."""
        rows = list(queryset)
        if not rows:
            self.message_user(request, "None of the chosen rows is there.", messages.WARNING)
            return None
        form_class = type("ConfirmForm", (forms.Form,), fields)
        form = form_class(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            try:
                return act(form.cleaned_data)
            except DomainError as error:
                form.add_error(None, str(error))
        whole_list = request.POST.get("select_across") == "1"
        context = self.admin_site.each_context(request) | {
            "title": button,
            "opts": self.opts,
            "media": self.media + form.media,
            "question": question,
            "shown": rows[:MOST_SHOWN],
            "more": len(rows[MOST_SHOWN:]),
            "whole_list": whole_list,
            # A form has no room for thousands of rows, and one of them is enough for the admin.
            "rows": [row.pk for row in rows[: 1 if whole_list else None]],
            "form": form,
            "action": action,
            "button": button,
            "checkbox_name": ACTION_CHECKBOX_NAME,
            "back": request.get_full_path(),
        }
        return TemplateResponse(request, "schools/confirm.html", context)


def number_of(model: type[Student | SchoolClass]) -> Coalesce:
    """The rows of a school. Two joins would count each student with each class."""
    rows = model._default_manager.filter(school=OuterRef("pk")).order_by().values("school")
    return Coalesce(Subquery(rows.annotate(number=Count("pk")).values("number")), 0)


@admin.register(School)
class SchoolsAdmin(SchoolAdmin):
    needed_role = Role.HEAD
    list_display = ("name", "address", "students", "classes")
    search_fields = ("name", "address")

    def get_queryset(self, request: HttpRequest) -> Any:
        return (
            super()
            .get_queryset(request)
            .annotate(students_count=number_of(Student), classes_count=number_of(SchoolClass))
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        # A school is nobody's before it is there: only a superuser has this permission.
        return super(SchoolAdmin, self).has_add_permission(request)

    @admin.display(ordering="students_count")
    def students(self, school: Any) -> int:
        return int(school.students_count)

    @admin.display(ordering="classes_count")
    def classes(self, school: Any) -> int:
        return int(school.classes_count)


class MembershipForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """Names the person by their login: a list of all accounts is nobody's business."""

    person = forms.CharField(
        label=LOGIN_NAME.capitalize(),
        help_text="What the person logs in with. An administrator makes accounts.",
        max_length=254,
    )

    class Meta:
        model = Membership
        fields = ("school", "role")

    def clean_person(self) -> User:
        login = {f"{User.USERNAME_FIELD}__iexact": self.cleaned_data["person"]}
        user = User.objects.filter(is_active=True, **login).first()
        if user is None:
            raise forms.ValidationError("Nobody logs in with this.")
        return user

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        user, school = values.get("person"), values.get("school")
        if user and school:
            if Membership.objects.filter(user=user, school=school).exists():
                self.add_error("person", "This person already belongs to this school.")
            self.instance.user = user
        return values


@admin.register(Membership)
class MembershipAdmin(SchoolAdmin):
    """Who belongs to a school. A head manages their own school, and not themselves."""

    needed_role = Role.HEAD
    list_display = ("user", "role", "school")
    list_filter = ("role", ("school", RelatedOnlyFieldListFilter))
    list_select_related = ("user", "school")
    search_fields = (f"user__{User.USERNAME_FIELD}", "user__first_name", "user__last_name")
    autocomplete_fields = ("school",)

    def get_form(
        self, request: HttpRequest, obj: Membership | None = None, change: bool = False, **kw: Any
    ) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change, **kw)
        form: Any = super().get_form(request, obj, change, **kw | {"form": MembershipForm})
        # The theme's input for a login.
        login: Any = User._meta.get_field(User.USERNAME_FIELD)
        field: Any = self.formfield_for_dbfield(login, request)
        form.base_fields["person"].widget = field.widget
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return ("school", "member", "role") if obj else ("school", "person", "role")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        return (*super().get_readonly_fields(request, obj), *(("member",) if obj else ()))

    @admin.display(description="person")
    def member(self, membership: Membership) -> str:
        return str(membership.user)

    def is_within_role(self, request: HttpRequest, obj: Any, role: Role | None) -> bool:
        if (
            obj is not None
            and obj.user_id == request.user.pk
            and not getattr(request.user, "is_superuser", False)
        ):
            return False
        return super().is_within_role(request, obj, role)


class FirstRows(BaseInlineFormSet):  # type: ignore[type-arg]  # not generic at run time
    def get_queryset(self) -> QuerySet[Any]:
        if not hasattr(self, "_queryset"):
            self._queryset = super().get_queryset()[:MOST_INLINE]
        return self._queryset


class StudentInline(TabularInline):
    """Who is in a class; students come and go on their own pages, or by an action."""

    model = Student
    formset = FirstRows
    verbose_name_plural = f"students, up to {MOST_INLINE}"
    fields = readonly_fields = ("number", "last_name", "first_name", "birth_date", "guardian_email")
    show_change_link = True
    can_delete = False
    extra = 0

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(SchoolClass)
class SchoolClassAdmin(SchoolAdmin):
    needed_role = Role.HEAD
    list_display = ("name", "school", "students")
    list_filter = (("school", RelatedOnlyFieldListFilter),)
    list_select_related = ("school",)
    search_fields = ("name",)
    autocomplete_fields = ("school",)
    actions = ("generate_reports",)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return (StudentInline,) if obj else ()

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(students_count=Count("students"))

    @admin.display(ordering="students_count")
    def students(self, school_class: Any) -> int:
        return int(school_class.students_count)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        all_students = ("all_students",) if obj else ()
        return (*super().get_readonly_fields(request, obj), *all_students)

    @admin.display(description="students")
    def all_students(self, school_class: Any) -> str:
        students = reverse("admin:schools_student_changelist")
        return format_html(
            '<a class="underline" href="{}?school_class__id__exact={}">{}</a>',
            students,
            school_class.pk,
            school_class.students_count,
        )

    def has_generate_report_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("schools.generate_report")

    @admin.action(description="Generate reports", permissions=["generate_report"])
    def generate_reports(
        self, request: HttpRequest, queryset: QuerySet[SchoolClass]
    ) -> HttpResponse | None:
        def act(chosen: dict[str, Any]) -> HttpResponse:
            user = User.objects.get(pk=request.user.pk or 0)
            jobs = services.order_reports(queryset, chosen["term"], user)
            if len(jobs) == 1:
                reports, progress = (
                    reports_path(queryset[0].pk, chosen["term"].pk),
                    reverse("admin:jobs_job_change", args=[jobs[0].pk]),
                )
            else:
                reports = reverse("admin:schools_report_changelist")
                progress = reverse("admin:jobs_job_changelist")
            self.message_user(
                request,
                format_html(
                    'A worker <a class="underline" href="{}">makes the reports</a>. When it is done'
                    ' they are <a class="underline" href="{}">here</a>, and a mail says so.',
                    progress,
                    reports,
                ),
                messages.SUCCESS,
            )
            return HttpResponseRedirect(progress)

        term = self.formfield_for_foreignkey(Report._meta.get_field("term"), request)
        return self.confirm(
            request,
            queryset,
            action="generate_reports",
            question="Make a report for each student of these classes? Reports of the same term"
            " are replaced.",
            button="Generate reports",
            fields={"term": term},
            act=act,
        )


class GivenBy:
    """A teacher's name without the link to the account, which few may open."""

    @admin.display(description="teacher")
    def given_by(self, grade: Grade) -> str:
        return str(grade.teacher or "")


class GradeInline(GivenBy, SchoolScope, TabularInline):
    model = Grade
    fields = ("term", "subject", "mark", "comment", "given_by")
    readonly_fields = ("given_by",)
    extra = 0

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).select_related("teacher")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **options: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **options)
        if db_field.name == "comment" and field:
            field.widget.attrs["rows"] = 2
        if db_field.name == "term" and field:
            # In a narrow column there is no room for links.
            for verb in ("add", "change", "delete", "view"):
                setattr(field.widget, f"can_{verb}_related", False)
        return field


@admin.register(Student)
class StudentAdmin(SchoolAdmin):
    role_to_delete = Role.HEAD
    list_display = ("last_name", "first_name", "number", "school_class", "birth_date", "school")
    list_display_links = ("last_name", "first_name")
    list_filter = (
        ("school", RelatedOnlyFieldListFilter),
        ("school_class", RowOfSchoolFilter),
    )
    list_select_related = ("school", "school_class")
    search_fields = ("last_name", "first_name", "number", "guardian_email")
    search_help_text = "Name, number, or a guardian's e-mail"
    autocomplete_fields = ("school",)
    actions = ("move_to_class",)
    fieldsets = (
        (None, {"fields": ("school", "number", "school_class")}),
        ("Person", {"fields": ("first_name", "last_name", "birth_date", "guardian_email")}),
    )

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return (GradeInline,) if obj else ()

    def save_formset(self, request: HttpRequest, form: Any, formset: Any, change: bool) -> None:
        for grade in formset.save(commit=False):
            grade.teacher_id = grade.teacher_id or request.user.pk
            grade.save()
        for grade in formset.deleted_objects:
            grade.delete()

    @admin.action(description="Move to another class", permissions=["change"])
    def move_to_class(
        self, request: HttpRequest, queryset: QuerySet[Student]
    ) -> HttpResponse | None:
        def act(chosen: dict[str, Any]) -> None:
            moved = services.move_students(queryset, chosen["school_class"])
            self.message_user(
                request, f"Moved to {chosen['school_class']}: {moved}.", messages.SUCCESS
            )

        field = self.formfield_for_foreignkey(
            Student._meta.get_field("school_class"), request, required=True
        )
        return self.confirm(
            request,
            queryset,
            action="move_to_class",
            question="Move these students to another class?",
            button="Move to another class",
            fields={"school_class": field},
            act=act,
        )


@admin.register(Term)
class TermAdmin(SchoolAdmin):
    needed_role = Role.HEAD
    list_display = ("name", "starts", "ends", "school")
    list_filter = (("school", RelatedOnlyFieldListFilter),)
    list_select_related = ("school",)
    search_fields = ("name",)
    autocomplete_fields = ("school",)
    date_hierarchy = "starts"


@admin.register(Grade)
class GradeAdmin(GivenBy, SchoolAdmin):
    list_display = ("student", "school_class", "subject", "mark", "term", "teacher")
    list_filter = (
        ("term", RowOfSchoolFilter),
        ("student__school_class", RowOfSchoolFilter),
        ("subject", admin.AllValuesFieldListFilter),
    )
    list_select_related = ("student__school_class", "term", "teacher")
    search_fields = ("student__last_name", "student__first_name", "=student__number", "subject")
    autocomplete_fields = ("student",)
    readonly_fields = ("given_by",)
    fields = ("student", "term", "subject", "mark", "comment", "given_by")

    @admin.display(description="class", ordering="student__school_class__name")
    def school_class(self, grade: Grade) -> SchoolClass | None:
        return grade.student.school_class

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.teacher_id = obj.teacher_id or request.user.pk
        super().save_model(request, obj, form, change)


@admin.register(Report)
class ReportAdmin(SchoolAdmin):
    """Made by "Generate reports" on classes, never by hand: what is printed are the grades."""

    role_to_delete = Role.HEAD
    list_display = ("student", "school_class", "term", "download", "created_at", "created_by")
    list_filter = (
        ("term", RowOfSchoolFilter),
        ("student__school_class", RowOfSchoolFilter),
    )
    list_select_related = ("student__school_class", "term", "created_by")
    search_fields = ("student__last_name", "student__first_name", "=student__number")
    date_hierarchy = "created_at"
    fields = ("student", "term", "created_at", "made_by", "download")
    readonly_fields = fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    @admin.display(description="class", ordering="student__school_class__name")
    def school_class(self, report: Report) -> SchoolClass | None:
        return report.student.school_class

    @admin.display(description="created by")
    def made_by(self, report: Report) -> str:
        return str(report.created_by or "")

    @admin.display(description="PDF")
    def download(self, report: Report) -> str:
        return format_html(
            '<a class="underline" href="{}">Download</a>', reverse("report", args=[report.pk])
        )
