"""What a membership brings: the admin, and the permissions of a group.

Groups hold for all schools alike; which rows they reach is the business of `visible_to`, and
what only a head may change asks for that role in that school.
"""

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission

from apps.schools.models import Membership, Role

HEADS = "Heads"
TEACHERS = "Teachers"
GROUP_OF_ROLE = {Role.HEAD: HEADS, Role.TEACHER: TEACHERS}

TEACHERS_MAY = [
    "view_school",
    "view_schoolclass",
    "view_term",
    *(f"{verb}_student" for verb in ("view", "add", "change")),
    *(f"{verb}_grade" for verb in ("view", "add", "change", "delete")),
    "view_report",
    "generate_report",
]
HEADS_MAY = [
    *TEACHERS_MAY,
    "change_school",
    "delete_student",
    "delete_report",
    *(f"{verb}_schoolclass" for verb in ("add", "change", "delete")),
    *(f"{verb}_term" for verb in ("add", "change", "delete")),
    *(f"{verb}_membership" for verb in ("view", "add", "change", "delete")),
]


def create_groups(**_: Any) -> None:
    """After each migrate. A group that exists stays as it is: it may have been changed by hand."""
    for name, codenames in ((HEADS, HEADS_MAY), (TEACHERS, TEACHERS_MAY)):
        group, created = Group.objects.get_or_create(name=name)
        if created:
            group.permissions.set(
                Permission.objects.filter(content_type__app_label="schools", codename__in=codenames)
            )


def on_membership_changed(instance: Membership, **_: Any) -> None:
    sync_groups(instance.user_id)


def sync_groups(user_id: int) -> None:
    """Give the user the groups of their roles, and take away those of roles they lost.

    The admin stays open to someone without a school: without permissions it is empty.
    """
    user = get_user_model()._default_manager.filter(pk=user_id).first()
    if user is None:
        return
    roles = set(Membership.objects.filter(user=user_id).values_list("role", flat=True))
    for role, name in GROUP_OF_ROLE.items():
        groups = Group.objects.filter(name=name)
        if role in roles:
            user.groups.add(*groups)
        else:
            user.groups.remove(*groups)
    if roles and not user.is_staff:
        user.is_staff = True
        user.save(update_fields=["is_staff"])
