"""`make test`: everything that CI runs, and where the time goes; pytest comes last, so its summary is the last line."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINT = {
    "what is made from questions/ and hooks/ is up to date": [sys.executable, "scripts/sync.py", "--check"],
    "the options table in README.md is up to date": [sys.executable, "-m", "scripts.options_table", "--check"],
    "ruff check": ["ruff", "check"],
    "ruff format": ["ruff", "format", "--check"],
    "mypy": ["mypy", "."],
    "the workflow's schema": ["check-jsonschema", "--builtin-schema", "vendor.github-workflows"],
    "zizmor": ["zizmor", "--offline", "--no-progress", "--quiet"],
}
WORKFLOWS = ("the workflow's schema", "zizmor")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.checks")
    parser.add_argument("--lint", action="store_true", help="without the tests")
    # More than there are processors: tests of faults, servers and databases wait a good part of their time.
    jobs = str((os.cpu_count() or 2) + 2)
    parser.add_argument("--jobs", default=jobs, help="tests at the same time (default: the cores and two more)")
    options, more = parser.parse_known_args()
    workflows = [str(path) for path in sorted((ROOT / ".github/workflows").glob("*.yml"))]
    tools = Path(sys.executable).parent
    failed = []
    for name, command in LINT.items():
        started = time.monotonic()
        full = [str(tools / command[0]), *command[1:], *(workflows if name in WORKFLOWS else ())]
        code = subprocess.run(full, cwd=ROOT, check=False).returncode
        print(f"{'FAILED' if code else 'passed'}  {time.monotonic() - started:6.1f} s  {name}", flush=True)
        if code:
            failed.append(name)
    if options.lint or failed:
        return 1 if failed else 0
    command = [str(tools / "pytest"), "-n", options.jobs, "--dist=worksteal", "--durations=25", *more]
    # Not pytest's usual folder: each pytest that root starts, a project's own too, closes that one to all other users,
    # and the embedded PostgreSQL runs as one of them.
    folder = tempfile.mkdtemp(prefix="twostacks-tests-")
    code = subprocess.run([*command, f"--basetemp={folder}/tests"], cwd=ROOT, check=False).returncode
    if code == 0:  # a project that failed is kept
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
