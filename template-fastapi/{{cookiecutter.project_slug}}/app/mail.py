"""E-mails: written now, sent from the background, so that no answer waits for a mail server."""

import asyncio
import smtplib
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.message import EmailMessage
from urllib.parse import parse_qsl, unquote, urlsplit

import structlog
from email_validator import validate_email

AT_ONCE = 4
MOST_WAITING = 1000
TRIES = 3
PAUSE = 5.0  # seconds after the first failure; then twice as long
TIMEOUT = 10  # seconds for each step with the server


@dataclass(frozen=True)
class Mail:
    to: str
    subject: str
    text: str


@dataclass(frozen=True)
class MailServer:
    """Without a host: e-mails are printed."""

    host: str = ""
    port: int = 0
    user: str = ""
    password: str = ""
    encrypted: bool = False
    starttls: bool = True


def mail_server_of(url: str) -> MailServer | None:
    """The mail server that a URL names, or None when it names none."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme == "console":
        return MailServer()
    if parts.scheme in ("smtp", "smtps") and parts.hostname:
        encrypted = parts.scheme == "smtps"
        return MailServer(
            host=parts.hostname,
            port=port or (465 if encrypted else 587),
            user=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
            encrypted=encrypted,
            # For a catcher of e-mails on your own machine: smtp://localhost:1025?starttls=false
            starttls=not encrypted and dict(parse_qsl(parts.query)).get("starttls") != "false",
        )
    return None


class Post:
    """Sends e-mails from the background; lives from start-up to shutdown."""

    def __init__(self, server: MailServer, *, sender: str) -> None:
        self.server = server
        self.sender = sender
        self._tasks: set[asyncio.Task[None]] = set()
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._log = structlog.get_logger()

    def soon(self, write: Callable[[], Awaitable[Mail | None]]) -> None:
        """Write the e-mail in the background, and send it if there is one to send. What is to be
        looked up for it takes no time of the answer, which would tell what was found."""
        if len(self._tasks) >= MOST_WAITING:
            self._log.error("mail_dropped", reason="too many are waiting")
            return
        task = asyncio.create_task(self._deliver(write))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self, patience: float = 10) -> None:
        """Let what waits be sent, for some seconds."""
        if self._tasks:
            _, left = await asyncio.wait(self._tasks, timeout=patience)
            for task in left:
                task.cancel()

    async def _deliver(self, write: Callable[[], Awaitable[Mail | None]]) -> None:
        # Neither addresses nor texts are logged: whoever reads one holds the account.
        try:
            async with self._at_once:
                mail = await write()
        except Exception:
            self._log.exception("mail_not_written")
            return
        for number in range(TRIES if mail else 0):
            if number:
                await asyncio.sleep(PAUSE * 2 ** (number - 1))
            try:
                async with self._at_once:
                    assert mail is not None
                    await asyncio.to_thread(self._send, mail)
                return
            except (OSError, smtplib.SMTPException) as error:
                self._log.warning("mail_not_sent", reason=type(error).__name__, attempt=number + 1)

    def _send(self, mail: Mail) -> None:
        if not self.server.host:
            print(f"\nTo: {mail.to}\nSubject: {mail.subject}\n\n{mail.text}", flush=True)
            return
        message = EmailMessage()
        message["From"] = self.sender
        message["To"] = as_servers_write_it(mail.to)
        message["Subject"] = mail.subject
        message.set_content(mail.text)
        server, context = self.server, ssl.create_default_context()
        with (
            smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT, context=context)
            if server.encrypted
            else smtplib.SMTP(server.host, server.port, timeout=TIMEOUT)
        ) as connection:
            if server.starttls:
                connection.starttls(context=context)
            if server.user:
                connection.login(server.user, server.password)
            connection.send_message(message)


def as_servers_write_it(address: str) -> str:
    """With the domain in ASCII where that is possible: not every server takes other letters."""
    return validate_email(address, check_deliverability=False).ascii_email or address
