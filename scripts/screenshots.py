"""Make docs/images: pages of the Django example, as the browser tests of a generated project see them.

python -m scripts.screenshots
"""

import shutil
import sys
import tempfile
from pathlib import Path

from proof.generate import ROOT, with_cookiecutter
from proof.processes import clean_environment, run

IMAGES = ROOT / "docs" / "images"
SHOWN = ("students", "import-errors", "reports", "history")
TESTS = [f"tests/{app}/test_browser.py" for app in ("schools", "transfers", "history")]


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="twostacks-screenshots-") as temporary:
        folder = Path(temporary)
        project = with_cookiecutter(ROOT, {"stack": "django", "project_name": "School Reports"}, folder)
        environment = clean_environment(BROWSER_SCREENSHOTS=str(folder), UV_PYTHON=str(Path(sys.executable).resolve()))
        said = run(["uv", "run", "pytest", "-p", "no:cacheprovider", *TESTS], project, environment)
        missing = [name for name in SHOWN if not (folder / f"{name}.png").exists()]
        if missing:
            print(f"{said}\nNo picture of: {', '.join(missing)}", file=sys.stderr)
            return 1
        IMAGES.mkdir(exist_ok=True)
        for name in SHOWN:
            shutil.copyfile(folder / f"{name}.png", IMAGES / f"{name}.png")
            print(f"docs/images/{name}.png written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
