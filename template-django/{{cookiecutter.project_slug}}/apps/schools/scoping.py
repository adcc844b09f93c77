"""Who sees which school. Everything of the example asks here or `visible_to`, which asks the same."""

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.http import HttpRequest

from apps.schools.models import Role, School, SchoolQuerySet


def schools_of(user: AbstractBaseUser | AnonymousUser, role: Role | None = None) -> SchoolQuerySet:
    """The schools the user belongs to (with this role, if one is given); superusers: all."""
    return School.objects.visible_to(user, role)


def two_schools_of(request: HttpRequest, role: Role | None = None) -> list[int]:
    """The ids of two of them, at most: enough to know whether there is none, one or several.

    Read once for each request: a page asks it for every model that it links to.
    """
    known: dict[Role | None, list[int]] = vars(request).setdefault("_two_schools", {})
    if role not in known:
        known[role] = list(schools_of(request.user, role).values_list("pk", flat=True)[:2])
    return known[role]
