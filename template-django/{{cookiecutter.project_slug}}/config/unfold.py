"""The look of the admin: https://unfoldadmin.com/docs/configuration/settings/

Icons are names of Material Symbols; fonts and scripts come from the package, so nothing is loaded
from elsewhere.
"""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.urls import reverse_lazy


def look_of_admin(title: str) -> dict[str, Any]:
    """Django's setting UNFOLD."""
    return {
        "SITE_TITLE": title,
        "SITE_HEADER": title,
        "SITE_SYMBOL": "{{ "school" if cookiecutter.example else "database" }}",
        "SHOW_VIEW_ON_SITE": False,
        "COLORS": {"primary": PRIMARY},
        "SIDEBAR": {"show_search": True, "navigation": NAVIGATION},
    }


def page(title: str, icon: str, model: str, permission: str = "") -> dict[str, Any]:
    """A link to the list of a model ("app_model"), for those who may see it."""
    app, _, name = model.partition("_")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{model}_changelist"),
        "permission": allowed(permission or f"{app}.view_{name}"),
    }


def allowed(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def is_staff(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_staff", False))


SEES_SCHEDULES = "django_celery_beat.view_periodictask"
# From light to dark.
PRIMARY = {
    "50": "oklch(97% .014 254.604)",
    "100": "oklch(93.2% .032 255.585)",
    "200": "oklch(88.2% .059 254.128)",
    "300": "oklch(80.9% .105 251.813)",
    "400": "oklch(70.7% .165 254.624)",
    "500": "oklch(57% .15 254)",
    "600": "oklch(48% .13 254)",
    "700": "oklch(42% .11 254)",
    "800": "oklch(37% .09 254)",
    "900": "oklch(32% .07 254)",
    "950": "oklch(26% .06 254)",
}
NAVIGATION = [
{% if cookiecutter.example %}
    {
        "title": "School",
        "items": [
            page("Students", "person", "schools_student"),
            page("Classes", "groups", "schools_schoolclass"),
            page("Grades", "star", "schools_grade"),
            page("Reports", "description", "schools_report"),
            page("Terms", "calendar_month", "schools_term"),
            page("Schools", "school", "schools_school"),
            page("Memberships", "badge", "schools_membership"),
        ],
    },
{% endif %}
    {
        "title": "Work in the background",
        "separator": True,
        "items": [
            page("Jobs", "task_alt", "jobs_job") | {"permission": is_staff},
            page("Schedules", "schedule", "django_celery_beat_periodictask", SEES_SCHEDULES),
        ],
    },
    {
        "title": "People",
        "separator": True,
        "items": [
            page("Users", "account_circle", "users_user"),
            page("Groups", "group", "auth_group"),
        ],
    },
]
