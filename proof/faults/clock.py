"""The clock of the processes that we start, moved while they run. The machine's own clock is left alone."""

import sys
from pathlib import Path

from proof.faults import NotProved
from proof.processes import CommandFailed, clean_environment, run

# Built where it is needed, with a C compiler. What Debian 12 and Ubuntu 24.04 have, 0.9.10, breaks time.sleep.
PACKAGE = "libfaketime>=3,<4"
PLACE = "libfaketime/vendor/libfaketime/src/libfaketime.so.1"


def library(folder: Path) -> Path:
    """Made in a folder that is not there yet. Raises NotProved."""
    if sys.platform != "linux":
        raise NotProved("moving a clock needs Linux")
    command = ("uv", "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder), PACKAGE)
    try:
        run(command, folder.parent, clean_environment())
    except CommandFailed as error:
        last = error.output.strip().splitlines()[-1:]
        raise NotProved(f"libfaketime cannot be built here ({' '.join(last).strip()})") from error
    return folder / PLACE


class Clock:
    """Of all processes that have its environment. It shows the machine's time until it is moved."""

    def __init__(self, folder: Path) -> None:
        """Raises NotProved."""
        self._library = library(folder / "libfaketime")
        self._file = folder / "clock"
        self.move(0)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # As with a real clock that is set: what measures durations goes on evenly.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Else threads that wait for a while do not wait at all, and a process of Python is busy with that alone.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def move(self, seconds: int) -> None:
        """So far from the machine's time, at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+}\n", encoding="ascii")
        new.replace(self._file)
