from django.apps import AppConfig


class UsersConfig(AppConfig):
    name = "apps.users"
    verbose_name = "Users"
{% if cookiecutter.api_auth == "token" %}

    def ready(self) -> None:
        from apps.users import revocation

        revocation.connect()
{% else %}

    def ready(self) -> None:
        from apps.users import keys

        keys.install()
{% endif %}
