from django.apps import AppConfig
from django.utils.module_loading import autodiscover_modules


class HistoryConfig(AppConfig):
    name = "apps.history"

    def ready(self) -> None:
        from apps.core.signals import rows_written
        from apps.history.records import on_rows_written

        # Each app says in its history.py which of its models have one.
        autodiscover_modules("history")
        rows_written.connect(on_rows_written)
