"""An S3 bucket that says in words why it cannot keep or give out a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import structlog
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    NoCredentialsError,
    PartialCredentialsError,
)
from django.core.files.base import ContentFile, File
from s3transfer.exceptions import RetriesExceededError
from storages.backends.s3 import S3Storage

from apps.core.errors import StorageError

AWAY = "The file store does not answer: try again in a few minutes."
REFUSED = "The file store refuses us: tell whoever runs this service to check its access key."
MISSING = "The file store has no place for our files: tell whoever runs this service."
FAILURES = (BotoCoreError, Boto3Error, ClientError, RetriesExceededError)

CONNECT_TIMEOUT = 3  # seconds
READ_TIMEOUT = 10  # seconds without a byte
ATTEMPTS = 2
# After no answer, whoever asks within so many seconds is told at once: a request that has many
# files to remove must not wait for each.
PAUSE = 5.0


class Bucket(S3Storage):
    """Raises StorageError; FileNotFoundError is for files that are not there."""

    silent_until = 0.0

    def get_default_settings(self) -> dict[str, Any]:
        config = Config(
            signature_version="s3v4",
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        transfer = TransferConfig(num_download_attempts=ATTEMPTS)
        ours = {"client_config": config, "transfer_config": transfer}
        return {**super().get_default_settings(), **ours}

    @contextmanager
    def explained(self) -> Iterator[None]:
        if monotonic() < self.silent_until:
            raise StorageError(AWAY)
        try:
            yield
        except FAILURES as error:
            if isinstance(error, HTTPClientError):
                self.silent_until = monotonic() + PAUSE
            structlog.get_logger().warning("storage_failed", reason=str(error))
            raise StorageError(why(error)) from error

    def ask(self) -> None:
        """Whether the bucket answers."""
        with self.explained():
            self.connection.meta.client.head_bucket(Bucket=self.bucket_name)

    def _open(self, name: str, mode: str = "rb") -> "File[Any]":
        try:
            with self.explained():
                file = super()._open(name, mode)
                # Fetched here, where a failure is explained, and not at the first read.
                return ContentFile(file.read(), name) if "r" in mode else file
        except FileNotFoundError:
            self.ask()
            raise

    def _save(self, name: str, content: "File[Any]") -> str:
        with self.explained():
            return str(super()._save(name, content))

    def delete(self, name: str) -> None:
        with self.explained():
            super().delete(name)

    def exists(self, name: str) -> bool:
        with self.explained():
            return bool(super().exists(name))

    def size(self, name: str) -> int:
        try:
            with self.explained():
                return int(super().size(name))
        except FileNotFoundError:
            # Where there is no bucket, there is no file, either.
            self.ask()
            raise

    def url(self, name: str, *args: Any, **options: Any) -> str:
        with self.explained():
            return str(super().url(name, *args, **options))


def why(error: Exception) -> str:
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return REFUSED
    if isinstance(error, ClientError):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if status == 404:
            return MISSING
        if status < 500 and status != 429:
            return REFUSED
    return AWAY
