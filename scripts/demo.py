"""`make demo`: the default project of a stack, generated into a temporary folder and running, until Ctrl-C."""

import argparse
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import FrameType

from proof.generate import ROOT, with_cookiecutter
from proof.processes import ask, clean_environment, free_port, group_lives
from proof.questions import Questionnaire

PATIENCE = 120  # seconds until every URL answers; the first start fetches the project's dependencies
URL = re.compile(r"https?://[^\s\"'<>]+")


def main() -> int:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("stack", nargs="?", choices=Questionnaire(ROOT).stacks, help="default: the first one")
    parser.add_argument("--check", action="store_true", help="ask every printed URL, then stop")
    options = parser.parse_args()
    check, stack = options.check, options.stack or Questionnaire(ROOT).stacks[0]
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    folder = Path(tempfile.mkdtemp(prefix="twostacks-demo-"))
    # What tools drop into the folder for temporary files goes away with it.
    os.environ["TMPDIR"] = str(folder)
    server: subprocess.Popen[str] | None = None
    try:
        project = with_cookiecutter(ROOT, {"stack": stack}, folder)
        print(f"The default {stack} project, in {project}. Ctrl-C stops it and removes it.", flush=True)
        # The project's Python is the one that runs this: it surely works.
        environment = clean_environment(APP_PORT=str(free_port()), UV_PYTHON=str(Path(sys.executable).resolve()))
        log = folder / "log"
        with log.open("w", encoding="utf-8") as output:
            server = subprocess.Popen(
                ["uv", "run", "just", "dev"],
                cwd=project,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output if check else None,
                stderr=subprocess.STDOUT if check else None,
                encoding="utf-8",
                start_new_session=True,
            )
        return _check(server, log) if check else server.wait()
    except KeyboardInterrupt:
        print("\nStopped.", flush=True)
        return 0
    finally:
        # From here on nothing interrupts the cleaning up.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        if server is not None:
            _end(server)
        shutil.rmtree(folder, ignore_errors=True)


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _end(server: "subprocess.Popen[str]") -> None:
    """The server and everything that it started: first asked, then, after some seconds, killed."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        end = time.monotonic() + seconds
        while group_lives(server.pid):
            server.poll()
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        else:
            return


def _check(server: "subprocess.Popen[str]", log: Path) -> int:
    """Ask every URL that is printed; the server counts as started when all of them answer 200."""
    end = time.monotonic() + PATIENCE
    said = ""
    while time.monotonic() < end and server.poll() is None:
        time.sleep(0.2)
        before, said = said, log.read_text("utf-8")
        print(said.removeprefix(before), end="", flush=True)
        statuses = {url: _status(url) for url in dict.fromkeys(URL.findall(said)) if "127.0.0.1" in url}
        if any(url.endswith("/docs") for url in statuses) and all(status == 200 for status in statuses.values()):
            for url, status in statuses.items():
                print(f"{status}  {url}")
            return 0
    print("The demo does not answer as it should.", file=sys.stderr)
    return 1


def _status(url: str) -> int | None:
    try:
        return ask(url)[0]
    except OSError:
        return None


if __name__ == "__main__":
    sys.exit(main())
