import logging
import sys
from typing import Any

import structlog
{% if "traces" in cookiecutter.observability or "sentry" in cookiecutter.observability %}
from django.utils.module_loading import import_string
{% endif %}
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

# Without the frames' variables: they hold credentials and personal data.
TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


class ToStdout(logging.Handler):
    """Finds sys.stdout when it writes: commands and tests put another one in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(self.format(record) + "\n")
        sys.stdout.flush()


def configure(options: dict[str, Any]) -> None:
    """Send structlog's and the standard library's records to stdout: JSON in production, lines to
    read in development. Each carries the request id when there is one."""
    level = logging.getLevelNamesMapping()[options["level"].upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
{% if "traces" in cookiecutter.observability or "sentry" in cookiecutter.observability %}
        # Of what has been set: config/settings.py names them.
        *(import_string(name) for name in options.get("processors", ())),
{% endif %}
    ]
    rendering: list[Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stdout.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if options["readable"]
        else [TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=shared + rendering,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(),
        cache_logger_on_first_use=False,
    )

    handler = ToStdout()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in ("django", "django.server", "gunicorn.error", "gunicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # One line for each request is written by apps.core.middleware.
    for name in ("django.server", "gunicorn.access"):
        logging.getLogger(name).disabled = True
    logging.getLogger("django.request").setLevel(logging.ERROR)
    logging.getLogger("watchfiles").setLevel(logging.WARNING)
