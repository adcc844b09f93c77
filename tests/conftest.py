import os
from pathlib import Path

import pytest

from proof.generate import GIT, snapshot


@pytest.fixture(scope="session", autouse=True)
def nothing_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> None:
    """No test reads or writes the user's own configuration of git, cookiecutter or copier."""
    home = tmp_path_factory.mktemp("home")
    os.environ.update(GIT)
    os.environ.update({name: str(home) for name in ("HOME", "USERPROFILE", "XDG_CONFIG_HOME", "COPIER_CACHE_DIR")})
    os.environ.pop("COOKIECUTTER_CONFIG", None)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as it stands in the working tree, committed and tagged. Tests must not change it."""
    return snapshot(tmp_path_factory.mktemp("template") / "twostacks")
