"""Brokers of our own that a proof may stop, empty and start again; nobody else's are touched."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

from proof.processes import free_port, kill, start

# Debian keeps the server itself here: what is on the PATH insists on the user rabbitmq.
RABBITMQ = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")


class Broker(ABC):
    """Nothing runs before `start`. Its URL stays the same when it is started again."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[str] | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def command(self) -> tuple[Sequence[str], dict[str, str]]:
        """What to run, and what to add to its environment."""

    @abstractmethod
    def answers(self) -> bool: ...

    def start(self, patience: float = 60) -> None:
        command, more = self.command()
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "log"
        with log.open("a", encoding="utf-8") as file:
            self._process = start(command, self.folder, os.environ | more, file.fileno())
        end = time.monotonic() + patience
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > end:
                raise TimeoutError(f"{self.name} did not start:\n{log.read_text('utf-8')[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Suddenly, as when the machine is switched off."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGCONT)
            kill(self._process)
            self._process = None

    def freeze(self) -> None:
        """It still accepts connections and says nothing any more."""
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        os.killpg(self._process.pid, signal.SIGCONT)

    def empty(self) -> None:
        """Forget everything that was kept; it must not run."""
        assert self._process is None
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis(Broker):
    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> tuple[Sequence[str], dict[str, str]]:
        kept = ("--save", "", "--appendonly", "yes", "--appendfsync", "always")
        where = ("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.folder))
        return (str(shutil.which("redis-server")), *where, *kept), {}

    def answers(self) -> bool:
        return _says(self.port, b"PING\r\n").startswith(b"+PONG")


class RabbitMQ(Broker):
    name = "rabbitmq"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.distribution_port = free_port()

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def command(self) -> tuple[Sequence[str], dict[str, str]]:
        # RabbitMQ's own user cannot enter a private folder below /tmp or a home: run the server
        # as who we are, with a home (and so a cookie of Erlang) of its own.
        home = self.folder / "home"
        home.mkdir(parents=True, exist_ok=True)
        plugins = self.folder / "enabled_plugins"
        plugins.write_text("[].\n")
        return (str(RABBITMQ),), {
            "HOME": str(home),
            "RABBITMQ_NODENAME": f"proof{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self.distribution_port),
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "logs"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            # One scheduler: it would keep a small machine busy waiting for work.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none +sbwtdcpu none +sbwtdio none",
        }

    def answers(self) -> bool:
        # A client that speaks no AMQP is told which version to speak, or asked to go on.
        return bool(_says(self.port, b"AMQP\x00\x00\x09\x01"))


BROKERS: dict[str, type[Redis] | type[RabbitMQ]] = {"redis": Redis, "rabbitmq": RabbitMQ}


def why_not(name: str) -> str:
    """A sentence that says why no broker of our own can be started here, or nothing."""
    if name == "redis" and shutil.which("redis-server") is None:
        return "redis-server is not on this machine"
    if name == "rabbitmq" and not RABBITMQ.exists():
        return f"{RABBITMQ} is not on this machine"
    return ""


@contextlib.contextmanager
def own(name: str) -> Iterator[Broker]:
    """A broker that runs, in a folder of its own that goes away with it."""
    folder = Path(tempfile.mkdtemp(prefix=f"proof-{name}-"))
    broker = BROKERS[name](folder / name)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _says(port: int, greeting: bytes) -> bytes:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as connection:
            connection.sendall(greeting)
            return connection.recv(64)
    except OSError:
        return b""
