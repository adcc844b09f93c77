"""The hooks' parts, each alone."""

import json
import runpy
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from hooks import after, before
from hooks.after import remove
from hooks.answers import Questionnaire, answers_file, applicable, left_out, refusals, typed
from hooks.before import folder_to_enter, folders_made_with
from hooks.origin import origin, source_for_copier, template_folder

SENDERS: Questionnaire = {
    "stack": "fastapi",
    "questions": [
        {
            "name": "senders",
            "choices": ["stripe", "twilio", "n8n"],
            "multiselect": True,
            "when": "True",
            "validator": "",
        },
        {
            "name": "retries",
            "choices": [],
            "multiselect": False,
            "when": "{{ 'stripe' in senders }}",
            "validator": "{% if 'stripe' not in senders and retries != '3' %}\n"
            "Retries apply only to Stripe: add stripe to senders, or leave retries at 3.\n"
            "{% endif %}",
        },
    ],
    "exclude": [
        "{#- stripe: its webhook -#}\n{% if 'stripe' not in (senders | default([])) %}\napp/stripe.py\n{% endif %}",
        "{% if _copier_operation == 'update' %}\nmigrations\n{% endif %}",
    ],
    "message": "",
    "settings": {"trim_blocks": True, "lstrip_blocks": True, "keep_trailing_newline": True},
    "partials": {},
}


def test_several_choices_become_a_list() -> None:
    assert typed(SENDERS, {"senders": "stripe,n8n", "retries": "3"})["senders"] == ["stripe", "n8n"]
    assert typed(SENDERS, {"senders": "", "retries": "3"})["senders"] == []


def test_an_unknown_member_is_refused() -> None:
    assert refusals(SENDERS, {"senders": ["stripe", "paypal"], "retries": "3"}) == [
        "Invalid choice for 'senders': 'paypal' is not in ['stripe', 'twilio', 'n8n']"
    ]


def test_an_answer_to_a_question_that_does_not_apply_is_refused() -> None:
    assert refusals(SENDERS, {"senders": ["n8n"], "retries": "5"}) == [
        "Retries apply only to Stripe: add stripe to senders, or leave retries at 3."
    ]
    assert refusals(SENDERS, {"senders": ["stripe"], "retries": "5"}) == []


def test_only_answers_that_apply_are_remembered() -> None:
    assert applicable(SENDERS, {"senders": ["n8n"], "retries": "3"}) == {"senders": ["n8n"]}
    assert "retries" in applicable(SENDERS, {"senders": ["stripe"], "retries": "3"})


def test_the_paths_of_a_piece_that_is_not_enabled_are_left_out() -> None:
    assert left_out(SENDERS, {"senders": ["n8n"]}) == ["app/stripe.py"]
    assert left_out(SENDERS, {"senders": ["stripe"]}) == []


def test_answers_come_back_from_the_file_as_they_went_in() -> None:
    answers: dict[str, Any] = {
        "name": 'O\'Brien \\ "Q" # : — 東京',
        "example": False,
        "senders": ["a", "b"],
        "none": "none",
    }
    assert yaml.safe_load(answers_file(answers)) == answers


def test_removing_a_piece_removes_the_folders_that_it_leaves_empty(tmp_path: Path) -> None:
    for name in ("a/b/c.py", "a/d/e.py", "f/g.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    remove(tmp_path, ["a/b/c.py", "f", "not/there.py"])
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.rglob("*"))] == ["a", "a/d", "a/d/e.py"]


def test_both_hooks_mean_the_same_plan() -> None:
    assert before.PLAN == after.PLAN


def test_folders_made_together_with_the_project_are_found(tmp_path: Path) -> None:
    (tmp_path / "older").mkdir()
    time.sleep(0.2)
    project = tmp_path / "older" / "new" / "newer" / "project"
    project.mkdir(parents=True)
    assert folders_made_with(project, project.parent) == [project.parent, project.parent.parent]


def test_a_folder_with_something_in_it_was_not_made_with_the_project(tmp_path: Path) -> None:
    project = tmp_path / "new" / "project"
    project.mkdir(parents=True)
    (tmp_path / "new" / "mine.txt").touch()
    assert folders_made_with(project, project.parent) == []


def test_the_folder_to_enter_is_short_where_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PWD", str(tmp_path))
    assert folder_to_enter(tmp_path / "crm", {"_output_dir": str(tmp_path)}) == "crm"
    assert folder_to_enter(tmp_path / "out" / "crm", {"_output_dir": str(tmp_path / "out")}) == str(
        tmp_path / "out" / "crm"
    )


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://github.com/me/twostacks", "https://github.com/me/twostacks"),
        ("https://me:t0ken@github.com/me/twostacks", "https://github.com/me/twostacks"),
        ("https://t0ken@git.example.com/me/twostacks", "git+https://git.example.com/me/twostacks"),
        ("https://git.example.com:8443/t.git?private_token=x#y", "https://git.example.com:8443/t.git"),
        ("git@github.com:me/twostacks.git", "git@github.com:me/twostacks.git"),
        ("deploy@example.com:twostacks", "git+deploy@example.com:twostacks"),
        ("ssh://git:secret@example.com:22/twostacks", "git+ssh://git@example.com:22/twostacks"),
        ("file:///srv/git/twostacks", "git+file:///srv/git/twostacks"),
        ("/srv/git/twostacks", "/srv/git/twostacks"),
        ("C:\\git\\twostacks", "C:\\git\\twostacks"),
    ],
)
def test_a_url_is_remembered_without_secrets_and_as_copier_takes_it(url: str, source: str) -> None:
    assert source_for_copier(url) == source


@pytest.fixture
def elsewhere(tmp_path: Path) -> tuple[Path, str]:
    """A template's folder, and what its hook knows of the questions."""
    hook = tmp_path / "home" / "twostacks" / "template-fastapi" / "hooks" / "pre_gen_project.py"
    hook.parent.mkdir(parents=True)
    hook.write_text("QUESTIONS = r'''these very questions'''")
    return hook.parent.parent, "these very questions"


def test_a_relative_path_is_found_from_the_output_folder(elsewhere: tuple[Path, str]) -> None:
    folder, questions = elsewhere
    output = folder.parent.parent / "work" / "out"
    context = {"_repo_dir": "twostacks/template-fastapi", "_output_dir": str(output)}
    assert template_folder(questions, context) == folder


def test_a_stale_pwd_leads_nowhere_and_a_right_one_to_the_template(
    elsewhere: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, questions = elsewhere
    other = tmp_path / "stale" / "twostacks" / "template-fastapi"
    shutil.copytree(folder, other)
    (other / "hooks" / "pre_gen_project.py").write_text("other questions")
    context = {"_repo_dir": "twostacks/template-fastapi", "_output_dir": "/nowhere/out"}
    monkeypatch.setenv("PWD", str(tmp_path / "stale"))
    assert template_folder(questions, context) is None
    monkeypatch.setenv("PWD", str(folder.parent.parent))
    assert template_folder(questions, context) == folder


def test_cruft_knows_the_commit_and_the_source_itself() -> None:
    context = {"_template": "https://me:t0ken@github.com/me/twostacks", "_commit": "0b3789ac"}
    assert origin("", context) == {"_commit": "0b3789ac", "_src_path": "https://github.com/me/twostacks"}
    assert origin("", {"_template": "x"}) == {}


def test_the_hook_of_a_template_runs_under_cruft(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cruft renders with cookiecutter but hands over neither `_repo_dir` nor `_output_dir`."""
    made = runpy.run_path(str(template / "template-fastapi" / "hooks" / "pre_gen_project.py"))
    answers = {question["name"]: "x" for question in json.loads(made["QUESTIONS"])["questions"]}
    answers |= {"project_slug": "crm", "author_email": "me@example.com", "license": "MIT", "python_version": "3.13"}
    answers |= {"database": "sqlite", "ci": "none", "auth": "none", "deploy": "none", "observability": ""}
    answers |= {"jobs": "no", "webhooks": "", "outbox": "no", "broker": "embedded"}
    (tmp_path / "crm").mkdir()
    monkeypatch.chdir(tmp_path / "crm")
    assert made["before"](made["QUESTIONS"], json.dumps(answers | {"_template": str(template), "_commit": "abc"})) == 0
    remembered = yaml.safe_load(Path(".copier-answers.yml").read_text("utf-8"))
    assert (remembered["_commit"], remembered["_src_path"]) == ("abc", str(template))
    assert sorted(path.name for path in Path().iterdir()) == [".copier-answers.yml", ".twostacks-plan.json"]
