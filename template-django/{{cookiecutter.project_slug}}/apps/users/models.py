{% if cookiecutter.login == "email" %}
from typing import Any, ClassVar
{% else %}
from typing import ClassVar
{% endif %}

from django.contrib.auth.models import AbstractUser
{% if cookiecutter.login == "email" %}
from django.db import models
from django.db.models.functions import Lower

from apps.users.managers import UserManager


class EmailField(models.EmailField):  # type: ignore[type-arg]  # none at run time
    """Kept and searched in small letters, so that Ann@ and ann@ are one person."""

    def get_prep_value(self, value: object) -> object:
        value = super().get_prep_value(value)
        return value.lower() if isinstance(value, str) else value

    def pre_save(self, model_instance: models.Model, add: bool) -> object:
        value = self.get_prep_value(super().pre_save(model_instance, add))
        setattr(model_instance, self.attname, value)
        return value

    def deconstruct(self) -> Any:
        # Migrations do not import the application: to the database this is any e-mail.
        name, _, arguments, options = super().deconstruct()
        return name, "django.db.models.EmailField", arguments, options


class User(AbstractUser):
    """Logs in with the e-mail."""

    username = None  # type: ignore[assignment]  # the base class has one
    email = EmailField("e-mail", unique=True)

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    objects: ClassVar[UserManager] = UserManager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("email"), name="users_user_email_in_any_case")
        ]
{% else %}
from django.db import models
from django.db.models.functions import Lower


class User(AbstractUser):
    """Logs in with the user name."""

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("username"), name="users_user_username_in_any_case")
        ]
{% endif %}

    def __str__(self) -> str:
        return self.get_full_name() or self.get_username()


class Attempts(models.Model):
    """How often somebody failed to log in: an account, an address, or one at the other."""

    # A keyed hash: neither accounts nor addresses are kept.
    key = models.CharField(max_length=64, primary_key=True)
    failures = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()
    known_until = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return self.key
