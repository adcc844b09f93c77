from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy.ext.asyncio import AsyncSession

{% if cookiecutter.auth == "api_key" %}
from app.api_keys.service import issue_key
{% endif %}
from app.db import now
from app.jobs.models import State
from app.pagination import Cursor
from app.webhooks import service
from app.webhooks.models import WebhookEvent
{% if cookiecutter.auth == "users" %}
from tests.users.people import someone
{% endif %}

ROUTES = [
    ("GET", "/webhook-events", None),
    ("GET", "/webhook-events/1", None),
    ("POST", "/webhook-events/1/replay", None),
    ("POST", "/webhook-events/replay", {"state": "dead"}),
    ("POST", "/webhook-events/purge", {"days": 30}),
]


async def operator(app: FastAPI, session: AsyncSession) -> dict[str, str]:
{% if cookiecutter.auth == "users" %}
    return (await someone(app, session, superuser=True)).headers
{% else %}
    _, key = await issue_key(session, name="ops", scopes=["webhooks:admin"], lifetime=None)
    return {"Authorization": f"Bearer {key}"}
{% endif %}


async def stranger(app: FastAPI, session: AsyncSession) -> dict[str, str]:
{% if cookiecutter.auth == "users" %}
    return (await someone(app, session)).headers
{% else %}
    _, key = await issue_key(session, name="other", scopes=[], lifetime=None)
    return {"Authorization": f"Bearer {key}"}
{% endif %}


@pytest.fixture
async def operating(app: FastAPI, session: AsyncSession, client: AsyncClient) -> AsyncClient:
    client.headers.update(await operator(app, session))
    return client


async def add(session: AsyncSession, event_id: str, **values: Any) -> WebhookEvent:
    defaults = {"source": "shop", "event_type": "order.paid", "headers": {}}
    values = {"body": b'{"a": "\xc3\xbc"}'} | defaults | values
    event = WebhookEvent(event_id=event_id, **values)
    session.add(event)
    await session.flush()
    return event


@pytest.mark.parametrize(("method", "path", "body"), ROUTES)
async def test_who_does_not_operate_webhooks_sees_nothing(
    app: FastAPI, session: AsyncSession, client: AsyncClient, method: str, path: str, body: Any
) -> None:
    headers = await stranger(app, session)
    assert (await client.request(method, path, json=body, headers=headers)).status_code == 403
    del client.headers["Authorization"]
    assert (await client.request(method, path, json=body)).status_code == 401


async def test_events_are_listed_in_pages_the_newest_first(
    operating: AsyncClient, session: AsyncSession
) -> None:
    for number in range(5):
        await add(session, f"evt_{number}", source="shop" if number else "other")
    seen = []
    query = {"limit": "2", "source": "shop"}
    while True:
        page = (await operating.get("/webhook-events", params=query)).json()
        seen += [item["event_id"] for item in page["items"]]
        if not page["next_cursor"]:
            break
        query["cursor"] = page["next_cursor"]

    assert seen == ["evt_4", "evt_3", "evt_2", "evt_1"]
    assert "payload" not in page["items"][0]
    assert "body" not in page["items"][0]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"state": "dead"}, ["b"]),
        ({"event_type": "order.sent"}, ["c"]),
        ({"event_id": "a"}, ["a"]),
        ({"source": "nobody"}, []),
    ],
)
async def test_events_are_filtered(
    operating: AsyncClient, session: AsyncSession, query: dict[str, str], found: list[str]
) -> None:
    await add(session, "a")
    await add(session, "b", state=State.DEAD)
    await add(session, "c", event_type="order.sent")
    page = (await operating.get("/webhook-events", params=query)).json()

    assert [item["event_id"] for item in page["items"]] == found


@pytest.mark.parametrize(
    "query",
    [
        {"cursor": "x"},
        {"cursor": Cursor(sort="-id", value="9" * 30, id="1").encode()},
        {"cursor": Cursor(sort="-id", value="1", id="x").encode()},
        {"source": "a\x00"},
        {"state": "lost"},
        {"unknown": "1"},
    ],
)
async def test_a_bad_question_is_refused(operating: AsyncClient, query: dict[str, str]) -> None:
    assert (await operating.get("/webhook-events", params=query)).status_code == 422


async def test_a_payload_is_shown_only_when_asked_for(
    operating: AsyncClient, session: AsyncSession
) -> None:
    event = await add(session, "a", last_error="ValueError")
    path = f"/webhook-events/{event.id}"
    without = await operating.get(path)
    asked = await operating.get(path, params={"payload": "true"})

    assert without.json()["payload"] is None
    assert without.json()["last_error"] == "ValueError"
    assert asked.json()["payload"] == '{"a": "ü"}'
    assert asked.headers["cache-control"] == "no-store"
    assert (await operating.get("/webhook-events/999999")).status_code == 404
    assert (await operating.get(f"/webhook-events/{2**64}")).status_code == 422


async def test_one_is_handled_once_more(operating: AsyncClient, session: AsyncSession) -> None:
    dead = await add(session, "a", state=State.DEAD, attempts=15)
    path = f"/webhook-events/{dead.id}/replay"
    response = await operating.post(path)

    assert response.status_code == 200
    assert (response.json()["state"], response.json()["attempts"]) == ("waiting", 0)
    again = await operating.post(path)
    assert again.status_code == 422
    assert again.json()["detail"] == "It cannot be handled once more: it is waiting, not finished."
    purged = await add(session, "b", state=State.DONE, body=None)
    response = await operating.post(f"/webhook-events/{purged.id}/replay")
    assert "has no payload any more" in response.json()["detail"]


async def test_many_are_handled_once_more(operating: AsyncClient, session: AsyncSession) -> None:
    for number in range(3):
        await add(session, str(number), state=State.DEAD)
    await add(session, "done", state=State.DONE)
    await add(session, "other", state=State.DEAD, event_type="order.sent")
    body = {"state": "dead", "event_type": "order.paid"}

    all_three = await operating.post("/webhook-events/replay", json=body)
    assert all_three.json() == {"replayed": 3, "last": None}
    again = await operating.post("/webhook-events/replay", json=body)
    assert again.json() == {"replayed": 0, "last": None}
    assert (await operating.post("/webhook-events/replay", json={})).status_code == 422


async def test_who_asks_for_more_than_at_once_says_after_which(
    operating: AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "AT_ONCE", 2)
    first, second, third = [
        (await add(session, str(number), state=State.DEAD)).id for number in range(3)
    ]
    body = {"state": "dead"}
    some = (await operating.post("/webhook-events/replay", json=body)).json()
    rest = await operating.post("/webhook-events/replay", json=body | {"after": some["last"]})

    assert (some, first) == ({"replayed": 2, "last": second}, second - 1)
    assert (rest.json(), third) == ({"replayed": 1, "last": None}, second + 1)


async def test_payloads_of_what_is_old_are_taken_away(
    operating: AsyncClient, session: AsyncSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "AT_ONCE", 2)
    for number in range(3):
        await add(session, str(number), state=State.DONE, finished_at=now() - timedelta(days=31))
    await add(session, "new", state=State.DONE, finished_at=now())
    await add(session, "dead", state=State.DEAD, finished_at=now() - timedelta(days=31))

    async def purge(**body: Any) -> Any:
        return (await operating.post("/webhook-events/purge", json=body)).json()

    assert await purge(days=30) == {"purged": 2, "more": True}
    assert await purge(days=30) == {"purged": 1, "more": False}
    assert await purge(days=30, dead=True) == {"purged": 1, "more": False}
    assert (await operating.post("/webhook-events/purge", json={})).status_code == 422
    kept = (await operating.get("/webhook-events", params={"event_id": "new"})).json()["items"]
    path = f"/webhook-events/{kept[0]['id']}?payload=true"
    assert (await operating.get(path)).json()["payload"]
