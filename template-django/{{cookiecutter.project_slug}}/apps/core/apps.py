from django.apps import AppConfig


class CoreConfig(AppConfig):
    name = "apps.core"

    def ready(self) -> None:
        from django.contrib import admin

        from apps.core.deletion import delete_selected

        # In place of Django's, in every list.
        admin.site.add_action(delete_selected, "delete_selected")
