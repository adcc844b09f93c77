from collections.abc import Collection

from django.db.models.signals import pre_save
from rest_framework.authtoken.models import Token

from apps.users.models import User


def connect() -> None:
    pre_save.connect(end_token_with_password, sender=User)


def end_token_with_password(
    instance: User, update_fields: Collection[str] | None = None, **_: object
) -> None:
    """Whoever changes the password: what it had opened ends with it, as Django ends the sessions."""
    if update_fields is not None and "password" not in update_fields:
        return
    # A hash that Django renews at a login is still of the same password.
    chosen = getattr(instance, "_password", None) is not None or not instance.has_usable_password()
    if chosen and not User.objects.filter(pk=instance.pk, password=instance.password).exists():
        Token.objects.filter(user=instance.pk).delete()
