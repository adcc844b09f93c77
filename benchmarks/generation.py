"""How long it takes to make the default project, the start of the process included."""

import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, Options, seconds_of, spread

RUNS = 7
TOOLS = Path(sys.executable).parent


def with_cookiecutter(template: Path, into: Path, stack: str = "fastapi") -> list[str]:
    config = into.parent / "cookiecutter.yml"
    config.write_text(f"cookiecutters_dir: {into.parent}/cookiecutters\nreplay_dir: {into.parent}/replay\n")
    where = ["--output-dir", str(into), "--config-file", str(config)]
    return [str(TOOLS / "cookiecutter"), str(template), "--directory", f"template-{stack}", "--no-input", *where]


def with_copier(template: Path, into: Path) -> list[str]:
    return [str(TOOLS / "copier"), "copy", "--defaults", str(template), str(into / "project")]


def measure(options: Options) -> Iterator[Figure]:
    for name, command in (("cookiecutter", with_cookiecutter), ("copier", with_copier)):
        taken = []
        for number in range(RUNS + 1):
            into = options.folder / f"{name}-{number}"
            into.mkdir()
            taken.append(seconds_of(command(options.template, into), options.folder))
        # The first run fills the caches of the machine.
        yield Figure(f"default project with {name}", spread(taken[1:], ".2f", " s"))
