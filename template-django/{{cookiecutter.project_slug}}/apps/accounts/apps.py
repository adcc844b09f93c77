from django.apps import AppConfig, apps
from django.conf import settings
from django.contrib import admin
from django.core.management import call_command
from django.db.models.signals import post_migrate
from django.views.generic import RedirectView


class AccountsConfig(AppConfig):
    name = "apps.accounts"

    def ready(self) -> None:
        from allauth.account.decorators import secure_admin_login

        from apps.accounts import signals

        # The admin's own login page knows no second factor: /admin/login/ leads to /accounts/login/.
        admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # the documented way
        # There the other sessions' tokens end, too, and the owner gets a mail.
        admin.site.password_change = RedirectView.as_view(pattern_name="account_change_password")  # type: ignore[method-assign, assignment]  # as above
        post_migrate.connect(make_cache_table, sender=apps.get_app_config("account"))
        signals.connect()


def make_cache_table(using: str, **_: object) -> None:
    """The cache counts attempts for all processes: its table is made with the others."""
    call_command("createcachetable", settings.CACHE_TABLE, database=using, verbosity=0)
