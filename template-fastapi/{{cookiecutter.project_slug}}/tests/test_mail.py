import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs as logged

from app import mail
from app.mail import Mail, MailServer, Post, mail_server_of

LETTER = Mail("ann@example.com", "Grüße", "A line.\nhttps://app.example.com/#token=secret")


async def letter() -> Mail:
    return LETTER


class Catcher:
    """A mail server that keeps what it gets; it says no as often as it is told to."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.received: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator["Catcher"]:
        server = await asyncio.start_server(self.talk, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield self

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 hello\r\n")
        while line := (await reader.readline()).strip().upper():
            if line == b"DATA":
                writer.write(b"354 go on\r\n")
                self.received.append((await reader.readuntil(b"\r\n.\r\n")).decode())
            if line.startswith(b"MAIL") and self.refusals:
                self.refusals -= 1
                writer.write(b"451 later\r\n")
            else:
                writer.write(b"221 bye\r\n" if line == b"QUIT" else b"250 ok\r\n")
        writer.close()

    def post(self) -> Post:
        server = mail_server_of(f"smtp://127.0.0.1:{self.port}?starttls=false")
        assert server is not None
        return Post(server, sender="noreply@example.com")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "PAUSE", 0.01)


async def test_an_e_mail_is_sent_from_the_background() -> None:
    async with Catcher().listening() as catcher:
        post = catcher.post()
        post.soon(letter)
        assert catcher.received == []
        await post.close()

    [received] = catcher.received
    assert "To: ann@example.com" in received
    assert "From: noreply@example.com" in received
    assert "https://app.example.com/#token=secret" in received


async def test_a_server_that_says_no_is_asked_again() -> None:
    with logged() as lines:
        async with Catcher(refusals=2).listening() as catcher:
            post = catcher.post()
            post.soon(letter)
            await post.close()

    assert len(catcher.received) == 1
    assert [line["event"] for line in lines] == ["mail_not_sent"] * 2


async def test_a_server_that_is_away_is_given_up() -> None:
    post = Post(MailServer(host="127.0.0.1", port=1, starttls=False), sender="a@example.com")
    with logged() as lines:
        post.soon(letter)
        await post.close()

    assert [line["event"] for line in lines] == ["mail_not_sent"] * mail.TRIES
    # Whoever reads the log is not to learn who got a link, let alone which.
    assert "ann@example.com" not in str(lines)
    assert "secret" not in str(lines)


async def test_what_cannot_be_written_stops_nothing_else() -> None:
    async def fails() -> Mail:
        raise RuntimeError("nothing to write with")

    async def nothing() -> None:
        return None

    with logged() as lines:
        async with Catcher().listening() as catcher:
            post = catcher.post()
            for write in (fails, nothing, letter):
                post.soon(write)
            await post.close()

    assert len(catcher.received) == 1
    assert [line["event"] for line in lines] == ["mail_not_written"]


async def test_more_than_can_wait_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mail, "MOST_WAITING", 1)
    with logged() as lines:
        async with Catcher().listening() as catcher:
            post = catcher.post()
            post.soon(letter)
            post.soon(letter)
            await post.close()

    assert len(catcher.received) == 1
    assert [line["event"] for line in lines] == ["mail_dropped"]


async def test_shutdown_waits_for_e_mails_but_not_for_ever() -> None:
    async def never() -> None:
        await asyncio.Event().wait()

    post = Post(MailServer(), sender="")
    post.soon(never)
    await post.close(patience=0.01)


async def test_without_a_server_e_mails_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    post = Post(MailServer(), sender="")
    post.soon(letter)
    await post.close()

    assert "https://app.example.com/#token=secret" in capsys.readouterr().out


def test_a_header_cannot_be_smuggled_in() -> None:
    post = Post(MailServer(host="127.0.0.1", port=1), sender="a@example.com")

    with pytest.raises(ValueError, match="linefeed"):
        post._send(Mail("ann@example.com", "Hello\r\nBcc: bob@example.com", ""))


@pytest.mark.parametrize(
    ("address", "written"),
    [
        ("ann@exämple.com", "ann@xn--exmple-cua.com"),
        ("ann@example.com", "ann@example.com"),
        ("jörg@example.com", "jörg@example.com"),
    ],
)
def test_domains_are_written_as_all_servers_take_them(address: str, written: str) -> None:
    assert mail.as_servers_write_it(address) == written


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("console:", MailServer()),
        ("smtp://mail.example.com", MailServer("mail.example.com", 587)),
        (
            "smtps://u%40x:p%2F@mail.example.com",
            MailServer("mail.example.com", 465, "u@x", "p/", encrypted=True, starttls=False),
        ),
        (
            "smtp://localhost:1025?starttls=false",
            MailServer("localhost", 1025, starttls=False),
        ),
        ("smtp://", None),
        ("http://mail.example.com", None),
        ("smtp://host:port", None),
    ],
)
def test_mail_servers_are_taken_as_providers_write_them(
    url: str, server: MailServer | None
) -> None:
    assert mail_server_of(url) == server
