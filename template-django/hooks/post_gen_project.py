# Made by scripts/sync.py from hooks/ and questions/: change those.
# {% raw %}
"""After generation: remove the pieces that the answers do not enable, say what comes next."""

import json
import shutil
import sys
from pathlib import Path

PLAN = ".twostacks-plan.json"  # written by the hook before generation


def after() -> int:
    """Runs in the new project's folder; returns the exit status."""
    project = Path.cwd()
    plan = json.loads((project / PLAN).read_text("utf-8"))
    remove(project, [PLAN, *plan["left_out"]])
    print(plan["next_steps"], file=sys.stderr)
    return 0


def remove(project: Path, paths: list[str]) -> None:
    """Remove files and folders, and the folders that this leaves empty."""
    for path in paths:
        target = project / path
        if target.is_dir():
            shutil.rmtree(target)
        elif target.exists():
            target.unlink()
        for parent in target.parents:
            if parent == project or not parent.is_dir() or any(parent.iterdir()):
                break
            parent.rmdir()


if __name__ == "__main__":
    sys.exit(after())
# {% endraw %}
