from django.apps import AppConfig
from django.db.models.signals import post_delete, post_save


class SchoolsConfig(AppConfig):
    name = "apps.schools"

    def ready(self) -> None:
        from apps.schools import access, tasks
        from apps.schools.models import Membership, Report

        post_save.connect(access.on_membership_changed, sender=Membership)
        post_delete.connect(access.on_membership_changed, sender=Membership)
        post_delete.connect(tasks.on_report_deleted, sender=Report)
