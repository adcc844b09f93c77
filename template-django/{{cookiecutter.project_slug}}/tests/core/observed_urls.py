"""Views and tasks that have secrets of callers in all places that there are."""

import structlog
from celery import shared_task
from django.contrib.auth.models import Group
from django.db import transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from apps.core.errors import UnprocessableError
from apps.jobs.task import Task, enqueue
from config.urls import handler400, handler403, handler404, handler500
from config.urls import urlpatterns as project

__all__ = ["handler400", "handler403", "handler404", "handler500", "urlpatterns"]

logger = structlog.get_logger()


@shared_task(base=Task)
def found(name: str) -> str:
    Group.objects.create(name=f"{name} in a job")
    logger.warning("founded", name=name)
    return name


@shared_task(base=Task)
def fail(name: str) -> None:
    raise LookupError(f"no room for {name}")


@shared_task(base=Task, autoretry_for=(ConnectionError,), default_retry_delay=0, max_retries=2)
def call(name: str) -> None:
    raise ConnectionError(f"no answer to {name}")


@shared_task(base=Task)
def refuse(name: str) -> None:
    raise UnprocessableError(f"There is no {name}.")


TASKS = {task.name.rpartition(".")[2]: task for task in (found, fail, call, refuse)}


@csrf_exempt
def hear(request: HttpRequest, name: str) -> HttpResponse:
    """Reads all that was sent."""
    heard = [name, request.GET.get("q"), *request.POST.values(), *request.COOKIES.values()]
    heard += [str(file) for file in request.FILES.values()]
    logger.warning("heard", heard=heard, agent=request.headers.get("User-Agent"))
    return JsonResponse({"groups": Group.objects.filter(name__in=map(str, heard)).count()})


@csrf_exempt
def hear_and_fail(request: HttpRequest, name: str) -> HttpResponse:
    """With the row's values in the message of an error, and in that of its cause."""
    hear(request, name)
    secret = request.POST.get("field", name)
    try:
        with transaction.atomic():
            Group.objects.create(name=secret)
            Group.objects.create(name=secret)
    except Exception as error:
        logger.exception("kept_nothing", secret=secret)
        raise RuntimeError(f"cannot keep {secret}") from error
    raise AssertionError


@csrf_exempt
def ask(request: HttpRequest, task: str) -> HttpResponse:
    return JsonResponse({"job": enqueue(TASKS[task], request.GET["q"]).pk})


def refused(request: HttpRequest) -> HttpResponse:
    raise UnprocessableError("There is no thirteenth month.")


def report(request: HttpRequest) -> HttpResponse:
    """What the browser gets."""
    raise RuntimeError("a bug on a page")


urlpatterns = [
    *project,
    path("api/observed/hear/<name>", hear),
    path("api/observed/fail/<name>", hear_and_fail),
    path("api/observed/ask/<task>", ask),
    path("api/observed/refused", refused),
    path("observed/page", report),
]
