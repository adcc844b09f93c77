from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "apps.core"

    def ready(self) -> None:
{% if "traces" in cookiecutter.observability or "sentry" in cookiecutter.observability %}
        from django.conf import settings
{% endif %}
        from django.contrib import admin

        from apps.core.deletion import delete_selected

        # In place of Django's, in every list.
        admin.site.add_action(delete_selected, "delete_selected")
{% if "traces" in cookiecutter.observability %}
        if settings.ENV.otlp_endpoint:
            from apps.core import traces

            traces.install(settings.ENV)
{% endif %}
{% if "sentry" in cookiecutter.observability %}
        if settings.ENV.sentry_dsn:
            from apps.core import sentry

            sentry.install(settings.ENV)
{% endif %}
