import pytest
from pydantic import SecretStr

from app.settings import Settings
from tests.test_settings import refusal


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("public_url", "app.example.com", "is not a web address"),
        ("public_url", "javascript:alert(1)", "is not a web address"),
        ("public_url", "http://[", "is not a web address"),
        ("email_url", "ftp://x", "is not a URL of a mail server"),
        ("email_url", "smtp://u:hidden@host:port", "is not a URL of a mail server"),
        ("previous_secret_keys", f"{'x' * 32},short", "shorter than 32"),
        ("signup", "perhaps", "'open' or 'closed'"),
    ],
)
def test_a_wrong_setting_is_a_sentence_without_its_value(
    name: str, value: str, sentence: str
) -> None:
    refused = refusal(environment="development", **{name: value})

    assert refused.startswith(f"APP_{name.upper()} ")
    assert sentence in refused
    assert "hidden" not in refused


def test_links_lead_to_the_front_end_and_in_development_to_the_service_itself() -> None:
    settings = Settings(_env_file=None, environment="development", port=8000)

    assert settings.site == "http://127.0.0.1:8000"
    assert Settings(
        _env_file=None, environment="development", public_url="https://a.example/"
    ).site == ("https://a.example")


def test_previous_keys_stand_behind_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_PREVIOUS_SECRET_KEYS", f"{'x' * 32}, {'y' * 32}")
    settings = Settings(_env_file=None, environment="development")

    assert settings.previous_secret_keys == [SecretStr("x" * 32), SecretStr("y" * 32)]
    assert "xxx" not in repr(settings)
