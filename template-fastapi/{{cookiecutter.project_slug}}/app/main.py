import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.routing import APIRoute
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from app import docs, errors, health, logs{{ ["", "metrics", "sentry", "traces"] | select("in", cookiecutter.observability) | join(", ") }}
from app.db import Database
{% if cookiecutter.jobs or cookiecutter.webhooks %}
from app.jobs.health import router as work
from app.jobs.registry import load_handlers
from app.jobs.workforce import Workforce
{% endif %}
{% if cookiecutter.example %}
from app.leads.router import router as leads
{% endif %}
from app.middleware import KnownHosts, RequestContext, TrustedProxy
{% if cookiecutter.rate_limits %}
from app.rate_limits import limit_rates
{% endif %}
from app.settings import Settings
{% if cookiecutter.auth == "users" %}
from app.users.access import Accounts
from app.users.router import auth, users
{% endif %}
{% if cookiecutter.webhooks and cookiecutter.auth != "none" %}
from app.webhooks.admin import router as webhook_events
{% endif %}
{% if cookiecutter.webhooks %}
from app.webhooks.router import router as webhooks
{% endif %}


def operation_id(route: APIRoute) -> str:
    """Stable names for generated clients: the tag and the function's name."""
    return "_".join([*(str(tag) for tag in route.tags[:1]), route.name])


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.database = Database(app.state.settings)
{% if cookiecutter.auth == "users" %}
    app.state.accounts = Accounts.of(app.state.settings, app.state.database)
{% endif %}
{% if cookiecutter.jobs or cookiecutter.webhooks %}
    app.state.workforce = Workforce(app.state.settings, app.state.database)
{% endif %}
    if app.state.settings.environment == "production":
        # What is there from the start stays: to look at it again and again would take a tenth of the time.
        gc.freeze()
    yield
{% if cookiecutter.jobs or cookiecutter.webhooks %}
    await app.state.workforce.stop()
{% endif %}
{% if cookiecutter.auth == "users" %}
    await app.state.accounts.post.close()
{% endif %}
    await app.state.database.close()
{% if cookiecutter.rate_limits %}
    await app.state.rate_limits.close()
{% endif %}


def create_app(settings: Settings | None = None) -> FastAPI:
    settings = settings or Settings()
    logs.configure(settings)
{% if cookiecutter.jobs or cookiecutter.webhooks %}
    load_handlers()
{% endif %}
{% if "traces" in cookiecutter.observability %}
    tracing = traces.Tracing(settings)
{% endif %}
    app = FastAPI(
        title=settings.title,
        lifespan=lifespan,
        responses=errors.RESPONSES,
        generate_unique_id_function=operation_id,
        openapi_url="/openapi.json" if settings.docs else None,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
{% if "traces" in cookiecutter.observability %}
        telemetry=tracing.telemetry,
{% endif %}
    )
    app.state.settings = settings

    # The last one added is the outermost.
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=settings.max_body_size)
{% if cookiecutter.rate_limits %}
    limit_rates(app)
{% endif %}
    app.add_middleware(KnownHosts, allowed_hosts=settings.hosts)
    app.add_middleware(
        RequestContext, hsts=settings.environment == "production", debug=settings.debug
    )
    # Outside of RequestContext, so that a front end may read its problems, too.
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_credentials=True,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[
                "Idempotency-Replayed",
{% if cookiecutter.rate_limits %}
                "RateLimit",
                "RateLimit-Policy",
{% endif %}
                "Retry-After",
                "X-Request-ID",
            ],
        )
    if settings.trusted_proxy:
        app.add_middleware(TrustedProxy)
{% if "metrics" in cookiecutter.observability %}
    metrics.install(app, settings)
{% endif %}
    errors.install(app)
{% if "sentry" in cookiecutter.observability %}
    sentry.install(app, settings)
{% endif %}
{% if "traces" in cookiecutter.observability %}
    tracing.install(app)
{% endif %}

    app.include_router(health.router)
{% if cookiecutter.jobs or cookiecutter.webhooks %}
    app.include_router(work)
{% endif %}
    app.include_router(docs.always)
{% if cookiecutter.auth == "users" %}
    app.include_router(auth)
    app.include_router(users)
{% endif %}
{% if cookiecutter.example %}
    app.include_router(leads)
{% endif %}
{% if cookiecutter.webhooks %}
    app.include_router(webhooks)
{% endif %}
{% if cookiecutter.webhooks and cookiecutter.auth != "none" %}
    app.include_router(webhook_events)
{% endif %}
    if settings.docs:
        docs.install(app)
    return app
