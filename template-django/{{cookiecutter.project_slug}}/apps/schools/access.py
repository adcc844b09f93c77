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
PERMISSIONS_OF_ROLE = {Role.HEAD: HEADS_MAY, Role.TEACHER: TEACHERS_MAY}


def group_of(role: Role) -> Group:
    """Made when the first member needs it; from then on it is what was made of it by hand."""
    group, created = Group.objects.get_or_create(name=GROUP_OF_ROLE[role])
    if created:
        group.permissions.set(
            Permission.objects.filter(
                content_type__app_label="schools", codename__in=PERMISSIONS_OF_ROLE[role]
            )
        )
    return group


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
    if roles and not user.is_staff:
        user.is_staff = True
        user.save(update_fields=["is_staff"])
    held = set(user.groups.filter(name__in=GROUP_OF_ROLE.values()))
    due = {group_of(Role(role)) for role in roles}
    if lost := held - due:
        user.groups.remove(*lost)
    if won := due - held:
        user.groups.add(*won)
