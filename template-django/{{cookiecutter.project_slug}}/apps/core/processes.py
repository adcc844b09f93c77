"""Several processes that live and die together."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Event
from time import monotonic, sleep

# Who ends sooner than this would end again at once.
SETTLED = 5.0  # seconds
PAUSE = 0.3  # seconds between two looks at the processes
# uv passes Ctrl-C on to a process that had it from the terminal: what comes so soon is no second one.
ECHO = 0.5  # seconds

# Loaded here, since little is allowed between fork and exec.
prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def end_with_parent() -> None:
    """In a new process: be sent SIGTERM also when the parent is killed. Linux only."""
    if prctl is not None:
        prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


class Child:
    """A process in a group of its own, so that its own children end with it."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self.name = name
        self.command = command
        self.started = monotonic()
        if sys.platform == "win32":
            flags = subprocess.CREATE_NEW_PROCESS_GROUP
            self.process = subprocess.Popen(command, creationflags=flags)  # noqa: S603 - our own
        else:
            self.process = subprocess.Popen(  # noqa: S603 - our own
                command, start_new_session=True, preexec_fn=end_with_parent
            )

    def end(self) -> None:
        self.send("SIGTERM")

    def kill(self) -> None:
        self.send("SIGKILL")

    def send(self, name: str) -> None:
        if sys.platform == "win32":
            self.process.terminate()
            return
        try:
            os.killpg(self.process.pid, signal.Signals[name])
        except ProcessLookupError:
            return


class Together:
    """Runs commands until Ctrl-C or SIGTERM, which end all of them within `patience` seconds; a
    second signal ends them at once. After that the process is to end, too, and hears no more signals.

    One that ends by itself is started again. If it had just been started, all end with status 1;
    unless `changed` is given: then it is started at the next change of the code, as all are.
    `changed(stop)` waits for at most a second and says whether the code has changed.
    """

    def __init__(
        self,
        commands: Mapping[str, Sequence[str]],
        *,
        patience: float,
        changed: Callable[[Event], bool] | None = None,
    ) -> None:
        self.commands = commands
        self.patience = patience
        self.changed = changed
        self.stop = Event()
        self.asked = 0.0
        self.hurry = Event()
        self.children: list[Child] = []

    def run(self) -> int:
        previous = {one: signal.signal(one, self.on_signal) for one in self.signals()}
        try:
            self.start()
            while not self.stop.is_set():
                if self.changed is None:
                    self.stop.wait(PAUSE)
                elif self.changed(self.stop) and not self.stop.is_set():
                    say("The code has changed: starting again.")
                    self.end()
                    self.start()
                if not self.stop.is_set() and not self.look_after():
                    return 1
            return 0
        finally:
            self.end()
            for one, handler in previous.items():
                signal.signal(one, signal.SIG_IGN if self.stop.is_set() else handler)

    @staticmethod
    def signals() -> Collection[signal.Signals]:
        return (signal.SIGINT, signal.SIGTERM)

    def on_signal(self, *_: object) -> None:
        if not self.stop.is_set():
            self.asked = monotonic()
            self.stop.set()
        elif monotonic() - self.asked > ECHO:
            self.hurry.set()

    def start(self) -> None:
        self.children = [Child(name, command) for name, command in self.commands.items()]

    def look_after(self) -> bool:
        """False when there is no point in going on."""
        for child in [one for one in self.children if one.process.poll() is not None]:
            child.kill()  # what it may have left behind
            self.children.remove(child)
            ended = f"The {child.name} ended with status {child.process.returncode}"
            if monotonic() - child.started >= SETTLED:
                say(f"{ended}: starting it again.")
                self.children.append(Child(child.name, child.command))
            elif self.changed is None:
                say(f"{ended}: stopping.")
                return False
            else:
                say(f"{ended}: it starts again when the code changes.")
        return True

    def end(self) -> None:
        for child in self.children:
            child.end()
        deadline = monotonic() + self.patience
        while any(child.process.poll() is None for child in self.children):
            if self.hurry.is_set() or monotonic() > deadline:
                break
            sleep(0.02)
        for child in self.children:
            child.kill()
            child.process.wait()
        self.children = []


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
