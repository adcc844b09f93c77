"""Commands run for a generated project: in a clean environment, with a time limit, and never left behind."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import psutil

TIME_LIMIT = 900  # seconds
MOST_LINES = 60  # of a failing command's output
# Whatever could make a project see more than its own files and settings, or start slowly each time.
_OWN = ("APP_", "TEST_", "PYTEST_", "COV", "MYPY", "RUFF_", "VIRTUAL_ENV", "UV_PROJECT", "UV_RUN", "GIT_", "JUST_")
_OWN_NAMES = {"DATABASE_URL", "UV", "UV_ENV_FILE", "UV_PYTHON", "UV_WORKING_DIRECTORY"} | {
    "PYTHONDONTWRITEBYTECODE",
    "PYTHONHOME",
    "PYTHONPATH",
}
# uv's cache, its Pythons and its settings are the user's, also when tests have moved the home folder since.
_HOME = {name: os.environ[name] for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME") if name in os.environ}

_running: set[subprocess.Popen[str]] = set()
_lock = threading.Lock()
_stopping = threading.Event()


class CommandFailed(Exception):
    def __init__(self, what: str, output: str) -> None:
        super().__init__(what)
        self.output = output

    def __str__(self) -> str:
        return "\n".join([*self.output.splitlines()[-MOST_LINES:], self.args[0]])


def clean_environment(**more: str) -> dict[str, str]:
    """The environment of someone who has uv and nothing of ours."""
    ours = {str(Path(sys.prefix) / "bin"), str(Path(os.environ.get("VIRTUAL_ENV", sys.prefix)) / "bin")}
    path = [
        folder
        for folder in os.environ.get("PATH", os.defpath).split(os.pathsep)
        # pyenv's shims answer for every tool of every Python; uv is told by path which Python to take.
        if folder not in ours and not folder.endswith(("pyenv/shims", "plugins/pyenv-virtualenv/shims"))
    ]
    uv = shutil.which("uv")
    if uv is None:
        raise SystemExit("The proof needs uv on the PATH: run it with make, which finds or fetches it.")
    if shutil.which("uv", path=os.pathsep.join(path)) is None:
        path.append(str(_folder_with_only(Path(uv))))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OWN) and name not in _OWN_NAMES}
    kept.pop("XDG_CONFIG_HOME", None)
    return kept | _HOME | {"PATH": os.pathsep.join(path)} | more


def _folder_with_only(tool: Path) -> Path:
    folder = Path(sys.prefix) / "only-uv"
    folder.mkdir(exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (folder / tool.name).symlink_to(tool)
    return folder


def run(
    command: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    time_limit: float = TIME_LIMIT,
    user: str | None = None,
) -> str:
    """Return what the command said; raises CommandFailed when it fails or takes too long."""
    process = start(command, folder, environment, subprocess.PIPE, user)
    try:
        output, _ = process.communicate(timeout=time_limit)
    except subprocess.TimeoutExpired:
        kill(process)
        output, _ = process.communicate()
        raise CommandFailed(f"{' '.join(command)}: not done after {time_limit:.0f} s", output) from None
    finally:
        kill(process)
    if process.returncode:
        raise CommandFailed(f"{' '.join(command)}: exit code {process.returncode}", output)
    return output


def start(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], output: int, user: str | None = None
) -> "subprocess.Popen[str]":
    """Start a command in a process group of its own; root may name the user that it runs as."""
    if _stopping.is_set():
        raise CommandFailed(f"{' '.join(command)}: not started, because everything stops", "")
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
        user=user,
        group=user,
        extra_groups=user and [],
    )
    with _lock:
        _running.add(process)
    return process


def kill(process: "subprocess.Popen[str]") -> None:
    """End what is left of the command's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    with _lock:
        _running.discard(process)


def end_all(patience: float = 10) -> None:
    """Interrupt everything that runs, as Ctrl-C would, so that it can clean up; kill what is left. Nothing starts
    after this.
    """
    _stopping.set()
    with _lock:
        left = list(_running)
    for process in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGINT)
    end = time.monotonic() + patience
    while any(group_lives(process.pid) for process in left) and time.monotonic() < end:
        time.sleep(0.1)
    for process in left:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ask(url: str, time_limit: float = 10) -> tuple[int, str]:
    """Status and body; raises OSError when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=time_limit) as answer:  # noqa: S310 (our own http://127.0.0.1)
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode("utf-8", "replace")


@contextlib.contextmanager
def server(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], ready: str, ctrl_c: bool = False
) -> Iterator[list[str]]:
    """Run a server until the block ends, then ask it to stop: as a service manager does, with SIGTERM to the process
    that was started, or as Ctrl-C does, with SIGINT to all of them.

    The block starts when `ready` answers 200. It gets a list that holds the server's output after the block.
    Raises CommandFailed when the server does not start, or does not end cleanly within seconds.
    """
    said: list[str] = []
    log = folder.parent / f"{folder.name}-server.log"
    with log.open("w", encoding="utf-8") as file:
        process = start(command, folder, environment, file.fileno())
    try:
        try:
            _wait_until_it_answers(process, ready, 60)
            yield said
            if ctrl_c:
                os.killpg(process.pid, signal.SIGINT)
            else:
                process.send_signal(signal.SIGTERM)
            process.wait(15)
            _wait_until_the_group_is_gone(process.pid, 5)
        finally:
            kill(process)
            said.append(log.read_text("utf-8"))
            log.unlink()
    except (subprocess.TimeoutExpired, TimeoutError, OSError) as error:
        raise CommandFailed(f"{' '.join(command)}: {error}", said[0]) from error
    sent = signal.SIGINT if ctrl_c else signal.SIGTERM
    if process.returncode not in (0, -sent, 128 + sent) or "Traceback" in said[0]:
        raise CommandFailed(f"{' '.join(command)}: did not end cleanly (exit code {process.returncode})", said[0])


def _wait_until_it_answers(process: "subprocess.Popen[str]", url: str, seconds: float) -> None:
    end = time.monotonic() + seconds
    while process.poll() is None:
        with contextlib.suppress(OSError):
            status, body = ask(url)
            if status == 200:
                return
            if time.monotonic() > end:
                raise TimeoutError(f"{url} answers {status}: {body}")
        if time.monotonic() > end:
            raise TimeoutError(f"{url} does not answer after {seconds:.0f} s")
        time.sleep(0.1)
    raise TimeoutError(f"ended with exit code {process.returncode} before {url} answered")


def _wait_until_the_group_is_gone(group: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while group_lives(group):
        if time.monotonic() > end:
            raise TimeoutError(f"processes of the server are still there {seconds:.0f} s after it ended")
        time.sleep(0.05)


def group_lives(group: int) -> bool:
    """Whether a process of the group runs. One that ended and waits for its parent to notice does not."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if os.getpgid(process.pid) == group and process.status() != psutil.STATUS_ZOMBIE:
                return True
    return False
