import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from app.settings import Settings
from app.webhooks import doctor
from app.webhooks.doctor import check_sources
from app.webhooks.handlers import Event, on
from tests.webhooks.sending import SECRET, TokenSource


@pytest.fixture(autouse=True)
def handlers_of_the_project_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "load_handlers", lambda: None)


async def nothing(event: Event, session: AsyncSession) -> None: ...


def with_sources(settings: Settings, **sources: TokenSource) -> Settings:
    return settings.model_copy(update={"webhook_sources": sources})


def test_doctor_names_sources_that_cannot_work(settings: Settings) -> None:
    on("shp")(nothing)
    shop = TokenSource(type="token", secrets=(SECRET,))
    silent = TokenSource(type="token", secrets=())

    assert list(check_sources(with_sources(settings, shop=shop, silent=silent))) == [
        ("warning", "No handler is for the source shop: what it sends is kept and ignored."),
        ("warning", "The source silent has no secret: its webhooks get a 404."),
        ("warning", "No handler is for the source silent: what it sends is kept and ignored."),
        ("warning", "A handler is for the source shp, which APP_WEBHOOK_SOURCES does not name."),
    ]
    assert ("warning", "APP_WEBHOOK_SOURCES names no source: webhooks get a 404.") in list(
        check_sources(with_sources(settings))
    )


def test_doctor_is_content_with_a_secret_and_a_handler(settings: Settings) -> None:
    on("shop", "order.paid")(nothing)
    shop = TokenSource(type="token", secrets=(SECRET,))

    assert list(check_sources(with_sources(settings, shop=shop))) == [
        ("ok", "Each source of webhooks has a secret and a handler.")
    ]
