import json
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from app.commands import make_env_file
from app.settings import Settings, explain
from app.webhooks.sources import TYPES, sources_of
from tests.webhooks.sending import SECRET

KIND = next(iter(TYPES))


def settings_with(sources: object) -> Settings:
    return Settings(_env_file=None, environment="development", webhook_sources=sources)


def refusal(sources: object) -> list[str]:
    with pytest.raises(ValidationError) as refused:
        settings_with(sources)
    lines = "\n".join(explain(refused.value)).splitlines()
    assert SECRET not in str(refused.value) + "".join(lines)
    assert all(line.startswith("APP_WEBHOOK_SOURCES ") for line in lines)
    return [line.removeprefix("APP_WEBHOOK_SOURCES ") for line in lines]


def test_sources_stand_in_the_environment_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {name: {"type": KIND, "secrets": [SECRET, SECRET]} for name in ("lender-a", "b2")}
    monkeypatch.setenv("APP_WEBHOOK_SOURCES", json.dumps(sources, indent=2))
    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    settings = Settings(_env_file=None)

    assert list(settings.webhook_sources) == ["lender-a", "b2"]
    assert settings.webhook_sources["b2"].keys == [SECRET, SECRET]
    assert SECRET not in repr(settings)
    assert SECRET not in repr(settings.webhook_sources)


def test_a_new_env_file_has_a_source_of_each_type(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert make_env_file()
    settings = Settings()

    assert list(settings.webhook_sources) == list(TYPES)
    keys = {key for source in settings.webhook_sources.values() for key in source.keys}
    assert len(keys) == len(TYPES)


def test_an_empty_secret_is_none_and_one_needs_no_list() -> None:
    sources = sources_of(
        {
            "a": {"type": KIND, "secrets": ["", " "]},
            "b": {"type": KIND},
            "c": {"type": KIND, "secrets": SECRET},
            "d": {"type": KIND, "secrets": [SecretStr(SECRET), ""]},
        }
    )

    assert [source.keys for source in sources.values()] == [[], [], [SECRET], [SECRET]]


def test_what_is_no_json_is_refused_with_its_place() -> None:
    [sentence] = refusal('{"a":\n {"secrets": ["' + SECRET + '"],]')
    assert sentence.startswith("is no JSON (line 2, column ")
    [sentence] = refusal(f'["{SECRET}"]')
    assert sentence.startswith("is no JSON object: write it like")


def test_each_mistake_has_a_sentence() -> None:
    sentences = refusal(
        {
            "a": {"type": "paypal", "secrets": [SECRET]},
            "b": {"type": KIND, "secrets": [SECRET], "secretz": SECRET},
            "c": {"type": KIND, "secrets": 7},
            "d": SECRET,
            SECRET * 2: {"type": KIND, "secrets": [SECRET], SECRET: 1},
            "A b": {"type": KIND, "secrets": [SECRET]},
        }
    )

    types = ", ".join(TYPES)
    assert sentences == [
        f"has a mistake in the source a: its type must be one of those that are here: {types}",
        "has a mistake in the source b: it has no field secretz: did you mean secrets?",
        'has a mistake in the source c: secrets must be a list of texts, such as ["..."]',
        f"has a mistake in the source d: its type must be one of those that are here: {types}",
        "has a mistake in source 5: it has an unknown field",
        "has a name of source 5 that is not of small letters, digits and single hyphens, such as"
        " lender-a",
        "has a name of source 6 that is not of small letters, digits and single hyphens, such as"
        " lender-a",
    ]


def test_a_name_that_is_there_twice_is_refused() -> None:
    one = '"a": ' + json.dumps({"type": KIND})
    assert refusal("{" + one + ", " + one + "}") == [
        "has a name twice: only one of them would count"
    ]
