"""Make docs/start.svg: a terminal in which a project is started. What it shows was really run.

python -m scripts.picture
"""

import io
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich import _export_format
from rich.console import Console
from rich.text import Text

from proof.generate import ROOT, snapshot
from proof.processes import ask, clean_environment, free_port, server

PICTURE = ROOT / "docs" / "start.svg"
COPIER = "uvx copier copy --defaults twostacks my-service"
DEV = "uv run just dev"
CURL = "curl localhost:8000/health/ready"
# What uv says while it prepares the environment, and the log.
NOISE = re.compile(
    r"^(Using CPython|Creating virtual|Installed \d+|Resolved|Prepared|Downloading|Copying)"
    r"|\[info"
)
FILES = 4  # lines of copier's list of files


def trimmed(output: str) -> Iterator[Text]:
    """The output without noise, and with the first few of the files that copier names."""
    files = 0
    for line in Text.from_ansi(output.strip("\n")).split():
        files += line.plain.strip().startswith("create ")
        if line.plain.strip().startswith("create ") and files > FILES:
            if files == FILES + 1:
                yield Text("        ...", "dim")
        elif not NOISE.search(line.plain):
            yield line


def main() -> int:
    port = str(free_port())
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary).resolve()
        snapshot(home / "twostacks")
        environment = clean_environment(APP_PORT=port, UV_PYTHON=str(Path(sys.executable).resolve()), NO_COLOR="1")
        made = subprocess.run(
            [sys.executable, "-m", "copier", *COPIER.split()[2:]],
            cwd=home,
            check=True,
            capture_output=True,
            encoding="utf-8",
        )
        ready = f"http://127.0.0.1:{port}/health/ready"
        with server(DEV.split(), home / "my-service", environment, ready, ctrl_c=True) as said:
            answer = ask(ready)[1]
    started = said[0].partition("Application startup complete")[0].replace(f":{port}", ":8000")
    started = re.sub(r"(with the password )\S+", r"\1…", started)
    console = Console(record=True, width=100, file=io.StringIO())
    for command, output in (
        (COPIER, made.stderr + made.stdout),
        (f"cd my-service && {DEV}", started),
        (CURL, answer),
    ):
        console.print(Text("$ ", "bold green") + Text(command, "bold"))
        for line in trimmed(output.replace(str(home), "~")):
            console.print(line)
        console.print()
    PICTURE.parent.mkdir(exist_ok=True)
    # Fonts of the reader's own system: the picture asks no other host for anything.
    svg_format = re.sub(r"@font-face {{.*?}}\s*", "", _export_format.CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    svg_format = re.sub(r"<!--.*?-->\s*", "", svg_format).replace(
        "Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace"
    )
    PICTURE.write_text(
        console.export_svg(title="a new service", code_format=svg_format, unique_id="start"), encoding="utf-8"
    )
    print(f"{PICTURE.relative_to(ROOT)} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
