from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from time import time
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from app.errors import DomainError, NotFoundError
{% if cookiecutter.rate_limits %}
from app.rate_limits import rate_limit
{% endif %}
from app.webhooks.handlers import Event, max_attempts_of, order_key_of
from app.webhooks.intake import Intake
from app.webhooks.signatures.scheme import BadSignatureError, Delivery

# What is kept of the headers: nothing that proves who sent it.
KEPT_HEADERS = ("content-type", "user-agent")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.webhooks = Intake(app.state.database, app.state.workforce.bell{{ ", tells_ids=True" if cookiecutter.broker != "embedded" else "" }})
    yield
    await app.state.webhooks.close()


class PlainRoute(APIRoute):
    """A route that takes the request as it is: nothing is looked for in it, validated or injected, which
    would cost as much as the event itself."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def handle(request: Request) -> Response:
            answer: Response = await self.endpoint(request=request, **request.path_params)
            return answer

        return handle


router = APIRouter(prefix="/webhooks", tags=["webhooks"], lifespan=lifespan, route_class=PlainRoute)


class Received(BaseModel):
    received: bool


class ForgedError(DomainError):
    status = 401
    headers = {"WWW-Authenticate": "Webhook"}  # noqa: RUF012 - nobody changes it


# Any body: what it has to be is between the sender and its signature.
ANY = {"content": {"*/*": {"schema": {}}}, "required": False}


@router.post(
    "/{source}",
    response_model=Received,
    responses={200: {"content": {"application/xml": {}}}},
    openapi_extra={"requestBody": ANY},
)
{% if cookiecutter.rate_limits %}
@rate_limit(None)
{% endif %}
async def receive(source: str, request: Request) -> Response:
    """For senders of webhooks. Their signature says who they are: it is not for other callers.

    What is answered with 200 is kept. A repetition gets the same answer, and has no effect.
    """
    sender = request.app.state.settings.webhook_sources.get(source)
    if sender is None or not sender.secrets:
        raise NotFoundError("There is no source of webhooks with this name.")
    delivery = Delivery(await request.body(), request.headers, str(request.url))
    try:
        identity = sender.verify(delivery, at=time())
    except BadSignatureError as error:
        raise ForgedError(str(error)) from None
    headers = {name: delivery.headers[name] for name in KEPT_HEADERS if name in delivery.headers}
    event = Event(source, identity.id, identity.type, delivery.body, headers)
    intake: Intake = request.app.state.webhooks
    await intake.keep(event, order_key=order_key_of(event), max_attempts=max_attempts_of(event))
    return Response(sender.answer.body, media_type=sender.answer.media_type)
