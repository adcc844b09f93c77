"""The clock of the processes that we start, moved while they run. The machine's own clock is left alone."""

from pathlib import Path

# As Debian, Fedora, Arch and Homebrew-like prefixes have it.
PLACES = ("/usr/lib", "/usr/lib64", "/usr/local/lib")
NAMES = ("faketime/libfaketimeMT.so.1", "*/faketime/libfaketimeMT.so.1")


def library() -> Path | None:
    found = [path for place in PLACES for name in NAMES for path in sorted(Path(place).glob(name))]
    return found[0] if found else None


def why_not() -> str:
    """A sentence that says why no clock can be moved here, or nothing."""
    return "" if library() else "libfaketime is not on this machine (apt-get install faketime)"


class Clock:
    """Of all processes that have its environment. It shows the machine's time until it is moved."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.move(0)

    @property
    def environment(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            # As with a real clock that is set: what measures durations goes on evenly.
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def move(self, seconds: int) -> None:
        """So far from the machine's time, at once."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+}\n", encoding="ascii")
        new.replace(self._file)
