from typing import Any

from celery import shared_task
from django.apps import apps

from apps.core.deletion import delete_in_steps
from apps.jobs.task import Task
from apps.users.models import User


@shared_task(base=Task, bind=True, atomic=False)
def delete_rows(self: Task, model_label: str, pks: list[Any], user_id: int) -> str:
    user = User.objects.get(pk=user_id)
    return delete_in_steps(apps.get_model(model_label), pks, user, self.advance)
