import logging
import sys

import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import Processor

{% if "sentry" in cookiecutter.observability or "traces" in cookiecutter.observability %}
from app import {{ ["sentry", "traces"] | select("in", cookiecutter.observability) | join(", ") }}
{% endif %}
from app.settings import Settings

# Without the frames' variables: they hold credentials and personal data.
TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))


def configure(settings: Settings) -> None:
    """Send structlog's and the standard library's records to stdout: JSON in production, lines to
    read in development. Each carries the request id when there is one."""
    level = (
        logging.DEBUG
        if settings.debug
        else logging.getLevelNamesMapping()[settings.log_level.upper()]
    )
    readable = settings.environment == "development"
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
{% if "traces" in cookiecutter.observability %}
    if settings.otlp_endpoint:
        shared.append(traces.add_ids)
{% endif %}
{% if "sentry" in cookiecutter.observability %}
    if settings.sentry_dsn.get_secret_value():
        shared.append(sentry.report_logged)
{% endif %}
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty())]
        if readable
        else [TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=shared + rendering,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=False,
    )

    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    # One line for each request is written by app.middleware.
    logging.getLogger("uvicorn.access").disabled = True
