"""A folder that says in words why it cannot keep or give out a file."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import structlog
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage

from apps.core.errors import StorageError

FULL = "The disk for files is full: tell whoever runs this service."
BROKEN = "The folder for files cannot be used: tell whoever runs this service."


class Folder(FileSystemStorage):
    """Raises StorageError; FileNotFoundError is for files that are not there."""

    def ask(self) -> None:
        """Whether a file can be kept."""
        with explained():
            Path(self.location).mkdir(parents=True, exist_ok=True)
            with TemporaryFile(dir=self.location) as file:
                file.write(b"x")

    def _open(self, name: str, mode: str = "rb") -> "File[Any]":
        with explained():
            return super()._open(name, mode)  # type: ignore[misc,no-any-return]  # the stubs lack it

    def _save(self, name: str, content: "File[Any]") -> str:
        with explained():
            return str(super()._save(name, content))  # type: ignore[misc]  # the stubs lack it

    def delete(self, name: str) -> None:
        with explained():
            super().delete(name)


@contextmanager
def explained() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        structlog.get_logger().warning("storage_failed", reason=str(error))
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise StorageError(FULL if full else BROKEN) from error
