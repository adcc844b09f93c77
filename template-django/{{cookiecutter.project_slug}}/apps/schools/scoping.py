"""Who sees which school. Everything of the example asks here or `visible_to`, which asks the same."""

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser

from apps.schools.models import Role, School, SchoolQuerySet


def schools_of(user: AbstractBaseUser | AnonymousUser, role: Role | None = None) -> SchoolQuerySet:
    """The schools the user belongs to (with this role, if one is given); superusers: all."""
    return School.objects.visible_to(user, role)
