"""Where the template came from, as far as git knows: what `copier update` needs later."""

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

URL = re.compile(r"(\w[\w+.-]+:|[\w.-]+@)")  # https:, gh:, user@host; a drive letter is too short


def origin(questions: str, cookiecutter: Mapping[str, Any]) -> dict[str, str]:
    """What `copier update` needs: the commit and where to find it. Empty when the template has no git history."""
    if "_repo_dir" not in cookiecutter:  # cruft: it knows both, and works on a clone that it soon removes
        source, commit = cookiecutter.get("_template", ""), cookiecutter.get("_commit")
        return {"_commit": commit, "_src_path": source_for_copier(source)} if commit else {}
    folder = template_folder(questions, cookiecutter)
    return facts(folder.parent, cookiecutter["_template"]) if folder else {}


def template_folder(questions: str, cookiecutter: Mapping[str, Any]) -> Path | None:
    """The template's own folder, or None when it cannot be found for certain.

    cookiecutter hands over a relative path as it was typed, and nothing that says relative to what. So this looks in
    all likely places for the folder with this very hook in it.
    """
    output, given = Path(cookiecutter["_output_dir"]), str(cookiecutter["_repo_dir"])
    starts = [output, *(Path(os.environ[name]) for name in ["PWD"] if name in os.environ), *output.parents]
    working_folder_of_cookiecutter = Path(f"/proc/{os.getppid()}/cwd")  # Linux; it is the template while hooks run
    for candidate in [working_folder_of_cookiecutter, *(start / given for start in starts)]:
        hook = candidate / "hooks" / "pre_gen_project.py"
        if hook.is_file() and questions in hook.read_text("utf-8"):
            return candidate.resolve()
    return None


def facts(repository: Path, template: str) -> dict[str, str]:
    """A clone's remote is worth more than its place on this machine, unless the commit was never pushed."""
    if not (repository / ".git").exists():  # an unpacked archive, perhaps inside another repository
        return {}
    commit = git(repository, "describe", "--tags", "--always")
    if not commit:
        return {}
    remote = git(repository, "config", "--get", "remote.origin.url") or ""
    shared = URL.match(template) or git(repository, "for-each-ref", "--contains", "HEAD", "refs/remotes")
    source = source_for_copier(remote) if URL.match(remote) and shared else str(repository)
    return {"_commit": commit, "_src_path": source}


def git(repository: Path, *arguments: str) -> str | None:
    """What git says, or None when it fails or is missing; never about a repository further up."""
    command = ["git", f"--git-dir={repository / '.git'}", *arguments]
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def source_for_copier(url: str) -> str:
    """The URL without secrets, in a form that copier takes for a git repository. A path stays as it is."""
    if not URL.match(url):
        return url
    scheme, separator, rest = url.partition("://")
    if separator:
        host, slash, path = rest.partition("/")
        user, at, host = host.rpartition("@")
        if "ssh" in scheme:
            user = user.partition(":")[0]
        else:
            user = at = ""
            path = path.partition("?")[0].partition("#")[0]
        url = f"{scheme}://{user}{at}{host}{slash}{path}"
    known = ("git@", "git://", "git+", "https://github.com/", "https://gitlab.com/")
    return url if url.startswith(known) or url.endswith(".git") else f"git+{url}"
