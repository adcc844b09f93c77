import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# Every task is kept in the ledger (apps/jobs), also one that is not declared with base=Task.
app = Celery("config", task_cls="apps.jobs.task:Task")
# By name, and read when first needed: importing this package must not need any settings.
app.config_from_object("config.broker")
app.autodiscover_tasks()
