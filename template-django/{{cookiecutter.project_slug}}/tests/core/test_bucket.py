import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

import boto3
import pytest
from django.core.files.base import ContentFile
from moto import mock_aws

from apps.core import bucket
from apps.core.bucket import AWAY, MISSING, REFUSED, Bucket
from apps.core.doctor import check_files
from apps.core.errors import StorageError

REGION = "eu-central-1"


def make_bucket(**options: Any) -> Bucket:
    given = {"access_key": "key", "secret_key": "secret", "region_name": REGION}
    return Bucket(bucket_name="files", file_overwrite=False, **{**given, **options})


@pytest.fixture
def working() -> Iterator[Bucket]:
    with mock_aws():
        place: Any = {"LocationConstraint": REGION}
        boto3.client("s3", region_name=REGION).create_bucket(
            Bucket="files", CreateBucketConfiguration=place
        )
        yield make_bucket()


@pytest.fixture
def answering() -> Iterator[Any]:
    """Makes a store that answers everything with a status and a code."""
    servers = []

    def answer(status: int, code: str) -> Bucket:
        body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)
                self.close_connection = True

            do_GET = do_HEAD = do_PUT = do_DELETE = answer  # noqa: N815 - names of the base class

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return make_bucket(endpoint_url=f"http://127.0.0.1:{server.server_port}")

    yield answer
    for server in servers:
        server.shutdown()
        server.server_close()


def refusals(broken: Bucket) -> list[str]:
    """What each way to use the bucket says."""
    ways: list[Any] = [
        broken.ask,
        lambda: broken.save("a", ContentFile(b"x")),
        lambda: broken.open("a"),
        lambda: broken.size("a"),
        lambda: broken.exists("a"),
        lambda: broken.delete("a"),
    ]
    said = []
    for way in ways:
        with pytest.raises(StorageError) as refused:
            way()
        said.append(str(refused.value))
    return said


def test_a_file_is_kept_given_out_and_removed(working: Bucket) -> None:
    name = working.save("reports/1.pdf", ContentFile(b"%PDF"))

    working.ask()
    assert working.exists(name)
    assert working.size(name) == 4
    with working.open(name) as file:
        assert file.read() == b"%PDF"
    assert "X-Amz-Signature" in working.url(name)

    working.delete(name)
    working.delete(name)
    assert not working.exists(name)


def test_a_file_that_is_not_there_is_no_trouble_of_the_store(working: Bucket) -> None:
    for way in (working.open, working.size):
        with pytest.raises(FileNotFoundError):
            way("nothing")


def test_a_store_that_refuses_connections_does_not_answer() -> None:
    assert set(refusals(make_bucket(endpoint_url="http://127.0.0.1:1"))) == {AWAY}


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (500, "InternalError", AWAY),
        (503, "SlowDown", AWAY),
        (403, "InvalidAccessKeyId", REFUSED),
        (403, "SignatureDoesNotMatch", REFUSED),
        (400, "AuthorizationHeaderMalformed", REFUSED),
    ],
)
def test_what_the_store_answers_is_said_in_words(
    answering: Any, status: int, code: str, sentence: str
) -> None:
    assert set(refusals(answering(status, code))) == {sentence}


def test_without_any_credentials_the_store_refuses_us(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)

    said = refusals(make_bucket(access_key=None, secret_key=None))

    assert set(said) == {REFUSED}


def test_a_bucket_that_is_not_there_is_named_as_the_trouble() -> None:
    with mock_aws():
        missing = make_bucket()
        for way in (
            missing.ask,
            lambda: missing.save("a", ContentFile(b"x")),
            lambda: missing.open("a"),
            lambda: missing.size("a"),
        ):
            with pytest.raises(StorageError, match=MISSING):
                way()


def test_nobody_waits_long_for_a_store_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket, "READ_TIMEOUT", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broken = make_bucket(endpoint_url=f"http://127.0.0.1:{silent.getsockname()[1]}")
        said = refusals(broken)
        silent.setblocking(False)
        asked = 0
        with suppress(BlockingIOError):
            while True:
                silent.accept()[0].close()
                asked += 1

    assert set(said) == {AWAY}
    # Two attempts of the first one; the others are told at once.
    assert asked == 2 < len(said)


def test_a_store_that_is_back_is_asked_again(
    working: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    working.silent_until = monotonic() + 60
    with pytest.raises(StorageError):
        working.ask()

    working.silent_until = monotonic()
    working.ask()


def test_the_longest_wait_is_seconds() -> None:
    config: Any = make_bucket().client_config

    assert (config.connect_timeout + config.read_timeout) * bucket.ATTEMPTS < 30
    assert config.retries["total_max_attempts"] == bucket.ATTEMPTS


def test_doctor_says_whether_the_bucket_answers(
    working: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("apps.core.doctor.storages", {"default": working})
    assert check_files()[0] == "ok"

    broken = make_bucket(endpoint_url="http://127.0.0.1:1")
    monkeypatch.setattr("apps.core.doctor.storages", {"default": broken})
    level, sentence = check_files()
    assert level == "problem"
    assert sentence.startswith(AWAY)
