"""Who works for the web process."""

{% if cookiecutter.broker == "embedded" %}
from app.jobs.worker import Workforce
{% else %}
from app.jobs.celery import Workforce
{% endif %}

__all__ = ["Workforce"]
