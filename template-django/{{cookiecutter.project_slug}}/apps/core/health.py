from queue import Empty, SimpleQueue
from threading import Thread

import structlog
from django.db import DatabaseError, connection
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from apps.core.errors import DomainError

ANSWER_WITHIN = 2.0  # seconds


class Health(serializers.Serializer[dict[str, str]]):
    status = serializers.ChoiceField(["ok"])


class NotReadyError(DomainError):
    status = 503


class Public(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)


class Live(Public):
    @extend_schema(operation_id="health_live", responses=Health, tags=["health"])
    def get(self, request: Request) -> Response:
        """The process runs."""
        return Response({"status": "ok"})


class Ready(Public):
    @extend_schema(operation_id="health_ready", responses=Health, tags=["health"])
    def get(self, request: Request) -> Response:
        """The process can do its work: the database answers."""
        if reason := why_no_answer(ANSWER_WITHIN):
            structlog.get_logger().warning("not_ready", error=reason)
            raise NotReadyError("The database does not answer.")
        return Response({"status": "ok"})


def why_no_answer(within: float) -> str | None:
    """None when the database answers within so many seconds."""
    answers: SimpleQueue[str | None] = SimpleQueue()

    def ask() -> None:
        # A connection of its own: connections belong to a thread.
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except DatabaseError as error:
            answers.put(repr(error))
        else:
            answers.put(None)
        finally:
            connection.close()

    Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=within)
    except Empty:
        return f"no answer within {within} s"
