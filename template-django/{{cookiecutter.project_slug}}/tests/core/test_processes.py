import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from apps.core import processes
from apps.core.processes import Together
from config.environment import ROOT

WAIT = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    " print('ready', flush=True); time.sleep(60)"
)


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-S", "-E", "-c", code, *arguments]


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "PAUSE", 0.01)


@pytest.fixture(autouse=True)
def hear_signals_again() -> Iterator[None]:
    before = {one: signal.getsignal(one) for one in Together.signals()}
    yield
    for one, handler in before.items():
        signal.signal(one, handler)


def run_until(together: Together, condition: Callable[[], bool]) -> int:
    """Runs until the condition holds: then SIGTERM comes."""

    def watch() -> None:
        wait_until(condition)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch).start()
    return together.run()


def test_a_signal_ends_all_of_them() -> None:
    together = Together({"one": python(WAIT), "two": python(WAIT)}, patience=5)
    seen: list[int] = []

    def both_run() -> bool:
        seen[:] = [child.process.pid for child in together.children]
        return len(seen) == 2

    assert run_until(together, both_run) == 0
    assert together.children == []
    assert not any(runs(pid) for pid in seen)


def test_all_end_when_one_cannot_start(capfd: pytest.CaptureFixture[str]) -> None:
    together = Together({"web": python("raise SystemExit(3)"), "worker": python(WAIT)}, patience=5)

    assert together.run() == 1
    assert "The web ended with status 3: stopping." in capfd.readouterr().err


def test_one_that_ends_later_is_started_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processes, "SETTLED", 0.0)
    runs = tmp_path / "runs"
    count = f"open({str(runs)!r}, 'a').write('x')"
    together = Together({"worker": python(count)}, patience=5)

    assert run_until(together, lambda: runs.exists() and len(runs.read_text()) > 1) == 0
    assert "starting it again" in capfd.readouterr().err


def test_a_change_of_the_code_starts_all_again_also_what_could_not_start(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    count = f"open({str(runs)!r}, 'a').write('x')"

    def changed(stop: Event) -> bool:
        stop.wait(0.01)
        return together.children == []

    together = Together({"web": python(count)}, patience=5, changed=changed)

    assert run_until(together, lambda: runs.exists() and len(runs.read_text()) > 1) == 0
    said = capfd.readouterr().err
    assert "it starts again when the code changes" in said
    assert "The code has changed" in said


@pytest.mark.slow
def test_who_does_not_listen_is_killed_in_the_end(capfd: pytest.CaptureFixture[str]) -> None:
    together = Together({"worker": python(STUBBORN)}, patience=0.1)
    heard: list[str] = []

    def ready() -> bool:
        heard.append(capfd.readouterr().out)
        return "ready" in "".join(heard)

    assert run_until(together, ready) == 0


def test_a_second_signal_ends_them_at_once_and_an_echo_of_the_first_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = Together({}, patience=60)

    together.on_signal()
    together.on_signal()
    assert together.stop.is_set()
    assert not together.hurry.is_set()
    monkeypatch.setattr(processes, "ECHO", 0.0)
    together.on_signal()
    assert together.hurry.is_set()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells children that the parent died")
def test_nothing_is_left_behind_when_the_parent_is_killed(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    child = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    code = (
        "import sys; from apps.core.processes import Together;"
        " Together({'one': sys.argv[1:]}, patience=5).run()"
    )
    command = [sys.executable, "-c", code, *python(child)]
    parent = subprocess.Popen(command, cwd=ROOT)  # noqa: S603 - our own

    wait_until(lambda: pid_file.exists() and bool(pid_file.read_text()))
    parent.kill()
    parent.wait()

    wait_until(lambda: not runs(int(pid_file.read_text())))


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        threading.Event().wait(0.005)
    pytest.fail("It did not happen within half a minute.")
