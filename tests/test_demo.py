"""`make demo`: starts, answers, and leaves nothing behind."""

import contextlib
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from proof.generate import ROOT
from proof.processes import ask


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


@contextlib.contextmanager
def make(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        ["make", "--no-print-directory", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def read_until(process: "subprocess.Popen[str]", words: str) -> str:
    assert process.stdout
    said = ""
    for line in process.stdout:
        said += line
        if words in line:
            return said
    raise AssertionError(f"ended without saying {words!r}:\n{said}")


def answers(url: str) -> bool:
    """The server listens a moment after its URLs are printed."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            return ask(url)[0] == 200
        time.sleep(0.05)
    return False


def left_in(temporary: Path) -> list[str]:
    """What lies in the folder for temporary files, uv's lock files aside: uv keeps them for its next run."""
    return [path.name for path in temporary.iterdir() if not path.name.startswith("uv-")]


@pytest.mark.parametrize("stack", ["fastapi", "django"])
def test_the_demo_answers_at_every_url_that_it_prints(temporary: Path, stack: str) -> None:
    with make("demo", f"STACK={stack}", "CHECK=1") as process:
        said, _ = process.communicate(timeout=180)
    assert process.returncode == 0, said
    printed = set(re.findall(r"http://127\.0\.0\.1:\d+/\S*", said))
    assert {url.rsplit(":", 1)[1].partition("/")[2] for url in printed} >= {"docs", "health/ready"}
    assert printed == {line.split()[1] for line in said.splitlines() if line.startswith("200 ")}
    assert not left_in(temporary)


@pytest.mark.parametrize("stack", ["fastapi", "django"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_stopping_the_demo_leaves_no_process_and_no_folder(temporary: Path, number: int, stack: str) -> None:
    with make("demo", f"STACK={stack}") as process:
        said = read_until(process, "/health/ready")
        url = re.findall(r"http://127\.0\.0\.1:\d+/health/ready", said)[0]
        assert answers(url)
        os.killpg(process.pid, number)
        process.communicate(timeout=30)
    end = time.monotonic() + 15
    while left_in(temporary) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left_in(temporary)
    with pytest.raises(OSError, match="refused"):
        ask(url)
