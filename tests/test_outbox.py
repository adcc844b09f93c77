"""A generated project tells others what happened: their own library verifies it, their certificate is asked for, and
whatever carries the work carries it once."""

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator, Sized
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
from standardwebhooks.webhooks import Webhook

from proof import brokers
from proof.generate import with_cookiecutter
from proof.processes import clean_environment, kill, run, start

# While a secret is changed there are two, and whoever has either of them can verify.
SECRETS = ["whsec_" + base64.b64encode(letter * 32).decode() for letter in (b"n", b"o")]
PATIENCE = 60  # seconds


@dataclass
class Receiver:
    """Speaks TLS, with the certificate of one name."""

    port: int
    taken: list[dict[str, object]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@contextmanager
def receiving(authority: trustme.CA, name: str) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            [message, _] = [Webhook(secret).verify(body, dict(self.headers)) for secret in SECRETS]
            receiver.taken.append(message | {"id": self.headers["webhook-id"]})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    class Server(ThreadingHTTPServer):
        def finish_request(self, request: object, address: object) -> None:
            try:
                # In the thread of the request, not where all are accepted.
                super().finish_request(context.wrap_socket(request, server_side=True), address)  # type: ignore[arg-type]
            except (ssl.SSLError, ConnectionError) as error:
                receiver.refused.append(str(error))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    server = Server(("127.0.0.1", 0), Handler)
    receiver = Receiver(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def until(what: str, happened: Sized, count: int) -> None:
    end = time.monotonic() + PATIENCE
    while len(happened) < count:
        assert time.monotonic() < end, f"{what}: {len(happened)} of {count}"
        time.sleep(0.05)


@pytest.mark.parametrize("broker", ["embedded", "redis", "rabbitmq"])
def test_what_a_project_tells_arrives_once_and_only_where_the_certificate_fits(
    template: Path, tmp_path: Path, broker: str
) -> None:
    if broker != "embedded" and (reason := brokers.why_not(broker)):
        pytest.skip(reason)
    project = with_cookiecutter(template, {"jobs": True, "outbox": True, "broker": broker}, tmp_path)
    authority = trustme.CA()
    trusted = tmp_path / "trusted.pem"
    authority.cert_pem.write_to_path(str(trusted))
    with ExitStack() as running:
        good = running.enter_context(receiving(authority, "localhost"))
        other = running.enter_context(receiving(authority, "other.example"))
        targets = {
            name: {"url": f"https://localhost:{one.port}/hook", "secrets": SECRETS, "allow_private": True}
            for name, one in {"good": good, "other": other}.items()
        }
        targets["inside"] = {**targets["good"], "allow_private": False}
        settings = {
            "APP_ENVIRONMENT": "development",
            "APP_SECRET_KEY": "a key that only this test uses, of enough characters",
            "APP_DATABASE_URL": f"sqlite:///{tmp_path}/test.db",
            "APP_OUTBOX_TARGETS": json.dumps(targets),
            "SSL_CERT_FILE": str(trusted),
        }
        if broker != "embedded":
            settings["APP_BROKER_URL"] = running.enter_context(brokers.own(broker)).url
        environment = clean_environment(**settings)
        run(["uv", "run", "just", "migrate"], project, environment)
        log = running.enter_context((tmp_path / "log").open("w"))
        for command in ["worker"] if broker == "embedded" else ["worker", "beat"]:
            process = start(["uv", "run", "python", "-m", "app.commands", command], project, environment, log.fileno())
            running.callback(kill, process)

        for target in ("good", "good", "other", "inside"):
            run(["uv", "run", "just", "outbox-send", target, "--type", f"told.{target}"], project, environment)
        until("messages", good.taken, 2)
        until("certificates that were refused", other.refused, 1)
        end = time.monotonic() + PATIENCE
        while "GiveUpError" not in (listed := run(["uv", "run", "just", "outbox-list"], project, environment)):
            assert time.monotonic() < end, listed

    assert [message["type"] for message in good.taken] == ["told.good"] * 2
    assert len({message["id"] for message in good.taken}) == 2
    assert other.taken == []
    states = {line.split()[0]: line.split()[1] for line in listed.splitlines() if line[:1].isdigit()}
    assert (states["1"], states["2"], states["4"]) == ("done", "done", "dead")
    assert states["3"] in ("waiting", "running")
    assert "Not delivered: ConnectError" in listed
    assert "Its address is not public" in listed
