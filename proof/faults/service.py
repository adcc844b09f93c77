"""A generated FastAPI project that runs: each of its processes can be killed, frozen and started again by itself."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from proof.processes import ask, free_port, kill, run, start

COMMANDS = {"web": "start", "worker": "worker", "beat": "beat"}
PATIENCE = 60  # seconds until a process has to answer


class Service:
    """`names` are its processes: web, worker 1, worker 2, beat. Nothing runs before it is entered."""

    def __init__(self, project: Path, logs: Path, environment: Mapping[str, str], names: Sequence[str]) -> None:
        self.project = project
        self.logs = logs
        self.names = names
        self.port = free_port()
        self.environment = {
            **environment,
            "APP_ENVIRONMENT": "production",
            "APP_SECRET_KEY": "a secret that only the proof uses",
            "APP_ALLOWED_HOSTS": "127.0.0.1",
            "APP_PORT": str(self.port),
        }
        self._processes: dict[str, subprocess.Popen[str]] = {}

    async def __aenter__(self) -> "Service":
        self.logs.mkdir(parents=True, exist_ok=True)
        command = [self._python, "-m", "app.commands", "migrate"]
        await asyncio.to_thread(run, command, self.project, self.environment)
        try:
            for name in self.names:
                self._start(name)
            await self.ready()
        except BaseException:
            self.kill_all()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill_all()

    @property
    def _python(self) -> str:
        # Not through uv: a signal has to reach the process itself.
        return str(self.project / ".venv/bin/python")

    @property
    def helpers(self) -> list[str]:
        """All but the web process."""
        return [name for name in self.names if name != "web"]

    def _start(self, name: str) -> None:
        command = [self._python, "-m", "app.commands", COMMANDS[name.split()[0]]]
        with (self.logs / f"{name.replace(' ', '-')}.log").open("a", encoding="utf-8") as log:
            self._processes[name] = start(command, self.project, self.environment, log.fileno())

    async def start(self, name: str) -> None:
        """Returns when it answers, if it is the web process."""
        self._start(name)
        if name == "web":
            await self.ready()

    async def ready(self) -> None:
        """Raises TimeoutError with a sentence when it is not, in time."""
        end = time.monotonic() + PATIENCE
        while not await asyncio.to_thread(self._answers):
            if time.monotonic() > end:
                raise TimeoutError(f"The web process is not ready after {PATIENCE} s.")
            await asyncio.sleep(0.05)

    def _answers(self) -> bool:
        try:
            status, _ = ask(f"http://127.0.0.1:{self.port}/health/ready", time_limit=5)
        except OSError:
            return False
        return status == 200

    def kill(self, name: str) -> None:
        """With -9."""
        kill(self._processes.pop(name))

    def freeze(self, name: str) -> None:
        os.kill(self._processes[name].pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        os.kill(self._processes[name].pid, signal.SIGCONT)

    def kill_all(self) -> None:
        for name in list(self._processes):
            self.kill(name)

    def ended(self) -> list[str]:
        """Names of processes that ended by themselves."""
        return [name for name, process in self._processes.items() if process.poll() is not None]
