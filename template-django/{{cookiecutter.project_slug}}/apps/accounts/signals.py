from collections.abc import Collection

from allauth.account.signals import password_changed, password_reset, password_set
from allauth.headless import app_settings
from django.db.models.signals import post_save

from apps.accounts.addresses import replace_addresses
from apps.users.models import User


def connect() -> None:
    post_save.connect(follow_the_users_email, sender=User)
    for signal in (password_changed, password_reset, password_set):
        signal.connect(revoke_api_access)


def follow_the_users_email(
    instance: User, created: bool, update_fields: Collection[str] | None = None, **_: object
) -> None:
    if not created and (update_fields is None or "email" in update_fields):
        replace_addresses(instance)


def revoke_api_access(user: User, **_: object) -> None:
    """What the old password had opened ends with it: Django ends the sessions, this the rest."""
    app_settings.TOKEN_STRATEGY.revoke(user)
