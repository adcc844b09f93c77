from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
{% if cookiecutter.admin_theme == "unfold" %}
from django.contrib.auth.models import Group
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
{% else %}
from django.contrib.auth.forms import AdminPasswordChangeForm, UserChangeForm
from django.contrib.auth.forms import AdminUserCreationForm as UserCreationForm
from django.contrib.auth.models import Group
{% endif %}

from apps.core.admin import ModelAdmin, SiteModelAdmin
from apps.users.models import User

admin.site.unregister(Group)

LOGIN = User.USERNAME_FIELD
{% if cookiecutter.login == "email" %}
PERSON = ("first_name", "last_name")
{% else %}
PERSON = ("first_name", "last_name", "email")
{% endif %}


@admin.register(User)
class UserAdmin(DjangoUserAdmin, SiteModelAdmin):  # type: ignore[type-arg]  # none at run time
    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = (LOGIN, "first_name", "last_name", "is_staff", "is_active", "last_login")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    search_fields = ("email", LOGIN, "first_name", "last_name")
    ordering = (LOGIN,)
    readonly_fields = ("last_login", "date_joined")
    autocomplete_fields = ("groups",)
    filter_horizontal = ("user_permissions",)
    fieldsets = (
        (None, {"fields": (LOGIN, "password")}),
        ("Person", {"fields": PERSON}),
        (
            "Rights",
            {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")},
        ),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    add_fieldsets = (
        (
            None,
            {"classes": ("wide",), "fields": (LOGIN, "usable_password", "password1", "password2")},
        ),
    )


@admin.register(Group)
class GroupAdmin(DjangoGroupAdmin, ModelAdmin):
    """Which rights go together."""
