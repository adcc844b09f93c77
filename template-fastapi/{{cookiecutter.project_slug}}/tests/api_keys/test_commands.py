import re
from collections.abc import Callable
from pathlib import Path

import pytest
import uvicorn

from app.api_keys import scopes
from app.commands import main


@pytest.fixture(autouse=True)
def machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, new_database: Callable[[], str]
) -> None:
    """A development environment with a migrated database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("APP_ENVIRONMENT", "development")
    monkeypatch.setenv("APP_SECRET_KEY", "x" * 48)
    monkeypatch.setenv("APP_DATABASE_URL", new_database())
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: None)
    monkeypatch.setitem(scopes.SCOPES, "doors:open", "Open doors")
    main(["migrate"])


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_a_key_is_shown_once_listed_and_revoked(capsys: pytest.CaptureFixture[str]) -> None:
    main(["key-issue", "n8n", "--scopes", "doors:open", "--days", "90"])
    issued = said(capsys)
    [(key, prefix)] = re.findall(r"^(key_(\w{10})_[\w-]+)$", issued, re.MULTILINE)
    main(["key-list"])
    listed = said(capsys)

    assert "may doors:open, until 20" in issued
    assert re.search(rf"^{prefix}  n8n +until 20.* never +doors:open$", listed, re.MULTILINE)
    assert key not in listed

    main(["key-revoke", prefix])
    assert said(capsys) == f"Key {prefix} (n8n) does not work any more.\n"
    main(["key-list"])
    assert "revoked 20" in said(capsys)


def test_a_key_without_an_end_and_without_scopes_says_so(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["key-issue", "monitor"])

    assert "may nothing, until it is revoked" in said(capsys)
    main(["key-list"])
    assert "good" in said(capsys)


def test_an_expired_key_is_listed_as_such(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    main(["key-issue", "old", "--days", "1"])
    monkeypatch.setattr("app.api_keys.service.is_good", lambda *_: False)
    main(["key-list"])

    assert "expired 20" in said(capsys)


def test_unknown_scopes_and_keys_are_one_sentence() -> None:
    with pytest.raises(SystemExit, match=r"Unknown scopes: doors:paint. There are: .*doors:open"):
        main(["key-issue", "n8n", "--scopes", "doors:paint"])
    with pytest.raises(SystemExit, match="no key with this prefix"):
        main(["key-revoke", "0000000000"])


@pytest.mark.parametrize("name", ["", " ", "x" * 201])
def test_a_key_has_a_name(name: str) -> None:
    with pytest.raises(SystemExit, match="A key has a name of up to 200 characters"):
        main(["key-issue", name])


def test_days_are_a_number_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["key-issue", "n8n", "--days", "0"])
    assert "'0' is no whole number from 1 to 3650" in capsys.readouterr().err


def test_development_starts_with_a_key_that_is_shown_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["dev"])
    first = said(capsys)
    main(["dev"])

    assert re.search(r"^key_\w{10}_[\w-]+$", first, re.MULTILINE)
    assert "key_" not in said(capsys)
