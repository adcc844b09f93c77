"""The API of the example. What is not of the caller's schools does not exist for them: 404 in a
path, and in a body the same answer as for an id that nobody has."""

from copy import copy
from typing import Any, ClassVar

from django.db import models, transaction
from django.http.response import HttpResponseBase
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, permissions, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.filters import OrderingFilter, SearchFilter
from rest_framework.request import Request
from rest_framework.routers import SimpleRouter

from apps.core.errors import UnprocessableError
from apps.schools.models import Grade, Report, Role, School, SchoolClass, Student, Term
from apps.schools.reports import download


class Permissions(permissions.DjangoModelPermissions):
    """The same permissions as in the admin, for reading, too."""

    perms_map = permissions.DjangoModelPermissions.perms_map | {
        "GET": ["%(app_label)s.view_%(model_name)s"],
        "HEAD": ["%(app_label)s.view_%(model_name)s"],
    }


class ScopedSerializer(serializers.ModelSerializer[Any]):
    """Takes ids of the caller's schools only, keeps rows in their school, asks the model's clean."""

    # As in the admin: who may add and change besides superusers.
    needed_role: ClassVar[Role | None] = None

    def get_fields(self) -> dict[str, Any]:
        fields: dict[str, Any] = super().get_fields()
        user = self.context["request"].user
        for name, field in fields.items():
            rows = getattr(field, "queryset", None)
            if rows is not None:
                role = self.needed_role if name == "school" else None
                field.queryset = rows.visible_to(user, role)
        if self.instance is not None and "school" in fields:
            fields["school"].read_only = True
            fields["school"].required = False
        return fields

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        model: Any = self.Meta.model
        row = model() if self.instance is None else copy(self.instance)
        for name, value in attrs.items():
            setattr(row, name, value)
        row.clean()
        row.validate_constraints()
        return attrs

    def get_validators(self) -> list[Any]:
        # The model's constraints say the same, in words of the field, and know the school.
        return []


def choices_for(field: models.ForeignKey[Any, Any]) -> dict[str, Any]:
    rows: Any = field.related_model._default_manager
    return {"queryset": lambda request: rows.visible_to(request.user)}


class ScopedFilterSet(filters.FilterSet):
    """Another school's id is as unknown as an id that nobody has."""

    class Meta:
        filter_overrides: ClassVar = {
            models.ForeignKey: {"filter_class": filters.ModelChoiceFilter, "extra": choices_for}
        }


class ScopedFilters(filters.DjangoFilterBackend):
    filterset_base = ScopedFilterSet


class ScopedViewSet(viewsets.GenericViewSet[Any]):
    permission_classes = (permissions.IsAuthenticated, Permissions)
    filter_backends = (ScopedFilters, OrderingFilter, SearchFilter)
    ordering: ClassVar[Any] = ["pk"]
    queryset: Any
    needed_role: ClassVar[Role | None] = None
    # Who may delete, where that takes more than to change.
    role_to_delete: ClassVar[Role | None] = None

    def get_queryset(self) -> Any:
        method = self.request.method
        role = None if method in permissions.SAFE_METHODS else self.needed_role
        if method == "DELETE":
            role = self.role_to_delete or role
        rows: Any = super().get_queryset()
        return rows.visible_to(self.request.user, role)


class FullViewSet(
    mixins.CreateModelMixin,
    mixins.RetrieveModelMixin,
    mixins.UpdateModelMixin,
    mixins.DestroyModelMixin,
    mixins.ListModelMixin,
    ScopedViewSet,
):
    def perform_destroy(self, instance: Any) -> None:
        try:
            with transaction.atomic():
                instance.delete()
        except models.RestrictedError as error:
            kind = {type(row)._meta.verbose_name_plural for row in error.restricted_objects}
            raise UnprocessableError(
                f"It has {' and '.join(sorted(map(str, kind)))}, which would be lost."
            ) from error


class SchoolRead(serializers.ModelSerializer[School]):
    class Meta:
        model = School
        fields: ClassVar = ["id", "name", "address"]


class Schools(mixins.RetrieveModelMixin, mixins.ListModelMixin, ScopedViewSet):
    queryset = School.objects.all()
    serializer_class = SchoolRead
    search_fields: ClassVar = ["name"]
    ordering_fields: ClassVar = ["id", "name"]


class ClassSerializer(ScopedSerializer):
    needed_role = Role.HEAD

    class Meta:
        model = SchoolClass
        fields: ClassVar = ["id", "school", "name"]


class Classes(FullViewSet):
    queryset = SchoolClass.objects.all()
    serializer_class = ClassSerializer
    needed_role = Role.HEAD
    filterset_fields: ClassVar = ["school", "name"]
    search_fields: ClassVar = ["name"]
    ordering_fields: ClassVar = ["id", "name"]


class StudentSerializer(ScopedSerializer):
    class Meta:
        model = Student
        fields: ClassVar = [
            "id",
            "school",
            "number",
            "first_name",
            "last_name",
            "birth_date",
            "school_class",
            "guardian_email",
        ]


class Students(FullViewSet):
    queryset = Student.objects.all()
    serializer_class = StudentSerializer
    role_to_delete = Role.HEAD
    filterset_fields: ClassVar = ["school", "school_class", "number"]
    search_fields: ClassVar = ["first_name", "last_name", "number"]
    ordering_fields: ClassVar = ["id", "last_name", "number"]


class TermSerializer(ScopedSerializer):
    needed_role = Role.HEAD

    class Meta:
        model = Term
        fields: ClassVar = ["id", "school", "name", "starts", "ends"]


class Terms(FullViewSet):
    queryset = Term.objects.all()
    serializer_class = TermSerializer
    needed_role = Role.HEAD
    filterset_fields: ClassVar = {"school": ["exact"], "starts": ["gte", "lte"]}
    search_fields: ClassVar = ["name"]
    ordering_fields: ClassVar = ["id", "name", "starts"]


class GradeSerializer(ScopedSerializer):
    class Meta:
        model = Grade
        fields: ClassVar = ["id", "student", "term", "subject", "mark", "comment", "teacher"]
        read_only_fields: ClassVar = ["teacher"]

    def create(self, validated_data: dict[str, Any]) -> Any:
        return super().create(validated_data | {"teacher": self.context["request"].user})


class Grades(FullViewSet):
    queryset = Grade.objects.all()
    serializer_class = GradeSerializer
    filterset_fields: ClassVar = ["student", "student__school_class", "term", "subject"]
    search_fields: ClassVar = ["subject", "student__last_name"]
    ordering_fields: ClassVar = ["id", "mark", "subject"]


class ReportRead(serializers.ModelSerializer[Report]):
    class Meta:
        model = Report
        fields: ClassVar = ["id", "student", "term", "created_at", "created_by"]


class Reports(mixins.RetrieveModelMixin, mixins.ListModelMixin, ScopedViewSet):
    queryset = Report.objects.all()
    serializer_class = ReportRead
    filterset_fields: ClassVar = ["student", "student__school_class", "term"]
    ordering_fields: ClassVar = ["id", "created_at"]

    @extend_schema(
        responses={
            (200, "application/pdf"): OpenApiTypes.BINARY,
            302: OpenApiResponse(description="The file is there, in a bucket"),
        }
    )
    @action(detail=True)
    def file(self, request: Request, pk: str) -> HttpResponseBase:
        """The report as a PDF."""
        self.queryset = self.queryset.select_related("student", "term")
        return download(self.get_object())


router = SimpleRouter(trailing_slash=False)
router.register("schools", Schools, "school")
router.register("classes", Classes, "class")
router.register("students", Students, "student")
router.register("terms", Terms, "term")
router.register("grades", Grades, "grade")
router.register("reports", Reports, "report")
urls = router.urls
