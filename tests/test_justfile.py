"""What a recipe of a generated justfile is given reaches the command word by word: the shell does not read it again."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from proof.generate import with_cookiecutter

pytestmark = pytest.mark.skipif(os.name == "nt", reason="PowerShell gets them joined")

JUST = Path(sys.executable).parent / "just"
WORDS = ("two words", "; touch taken", "$(touch taken)", "", "'", '"')
# A stand-in for uv, which notes what it is asked to run.
UV = '#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done > "$NOTED"\n'


@pytest.mark.parametrize(
    "answers",
    [
        {"stack": "fastapi", "auth": "api_key", "webhooks": ["hmac"], "outbox": True},
        {"stack": "fastapi", "auth": "users"},
        {"stack": "django"},
    ],
    ids=["keys and webhooks", "users", "django"],
)
def test_words_reach_the_command_as_they_are(answers: dict[str, object], template: Path, tmp_path: Path) -> None:
    project = with_cookiecutter(template, answers, tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "uv").write_text(UV)
    (tmp_path / "bin" / "uv").chmod(0o755)
    noted = tmp_path / "noted"
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "NOTED": str(noted)}

    recipes = re.findall(r"^([a-z][a-z-]*)( [^:=]+)?(?:=\"\w+\")?:$", (project / "justfile").read_text("utf-8"), re.M)
    taking = {name: parameters for name, parameters in recipes if parameters}
    assert {"test", "migrate", "migration"} <= taking.keys()
    for name, parameters in taking.items():
        words = WORDS if "*" in parameters else WORDS[1:2]
        done = subprocess.run([JUST, name, *words], cwd=project, env=environment, check=False, capture_output=True)
        assert done.returncode == 0, f"{name}: {done.stderr.decode()}"
        assert noted.read_text("utf-8").splitlines()[-len(words) :] == list(words), name
    assert not (project / "taken").exists()
