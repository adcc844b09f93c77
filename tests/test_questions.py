"""One questionnaire: what is made from it is up to date, and later releases may add to it."""

import json
import re
import shutil
import sys
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

from hooks.answers import environment
from proof.generate import Refused, commit, with_cookiecutter, with_copier
from scripts.sync import ROOT, documents, for_hooks, made_files, read
from tests.engines import remembered, run, tree

SENDERS = """
senders:
  type: str
  help: Who sends webhooks
  multiselect: true
  default: [stripe]
  choices:
    Stripe (payments): stripe
    Twilio: twilio
    n8n: n8n

retries:
  type: str
  help: How often Stripe tries again
  default: "3"
  when: "{{ 'stripe' in senders }}"
  validator: >-
    {% if "stripe" not in senders and retries != "3" %}
    Retries apply only to Stripe: add stripe to senders, or leave retries at 3.
    {% endif %}
"""
STACKS = list(json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))["templates"])
FOR_TEMPLATES = '"ci": ci, "senders": senders | join(","), "retries": retries,'


def test_everything_made_from_the_questions_is_up_to_date() -> None:
    assert [path for path, text in made_files(ROOT).items() if path.read_text("utf-8") != text] == []


def test_templates_can_read_every_answer() -> None:
    [entry] = [document["cookiecutter"] for _, document in documents(ROOT / "copier.yml") if "cookiecutter" in document]
    dictionary = next(jinja2.Environment().parse(entry["default"]).find_all(nodes.Dict))
    names = {pair.key.as_const() for pair in dictionary.items}
    assert names == {*(name for stack in STACKS for name in read(ROOT, stack)[1]), "__answers_file"}


def test_the_names_of_the_projects_own_dependencies_are_taken() -> None:
    taken = (ROOT / "questions" / "package-names.txt").read_text("utf-8").split()
    assert taken == sorted(set(taken))
    for project in ROOT.glob("template-*/{{cookiecutter.project_slug}}/pyproject.toml"):
        named = re.findall(r'^    "([\w-]+)(?:\[\w+\])?[<>=]', project.read_text("utf-8"), re.MULTILINE)
        assert named
        assert set(named) <= set(taken)


@pytest.mark.parametrize("stack", STACKS)
def test_a_piece_names_paths_that_are_there_and_cannot_be_mistaken(stack: str) -> None:
    """copier takes a path without a slash for a name that may be in any folder."""
    settings, _ = read(ROOT, stack)
    tree = ROOT / f"template-{stack}" / "{{cookiecutter.project_slug}}"
    for entry in settings["_exclude"]:
        assert re.match(r"{#- \w+: .+ -#}\n", entry)
        for path in re.findall(r"^[^{\n].*$", entry, re.MULTILINE):
            assert (tree / path).exists(), path
            assert not set("*?[]!#/ ") & {path[0], path[-1]}
            assert "/" in path or len(list(tree.rglob(path))) == 1


@pytest.mark.parametrize("stack", STACKS)
def test_a_piece_is_decided_without_answers_that_an_older_release_did_not_ask_for(stack: str) -> None:
    """On update copier reads the new list with the old answers, and with those of the other stack's."""
    jinja = environment(for_hooks(ROOT, stack, *read(ROOT, stack)))  # type: ignore[arg-type]
    for entry in read(ROOT, stack)[0]["_exclude"]:
        assert "{" not in jinja.from_string(entry).render()


@pytest.fixture
def copy(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "twostacks"))


def test_a_name_that_two_files_define_is_noticed(copy: Path) -> None:
    (copy / "questions" / "more.yml").write_text("database:\n  type: str\n  help: Again\n  default: sqlite\n")
    entry = copy / "copier.yml"
    entry.write_text(entry.read_text("utf-8") + "---\n!include questions/more.yml\n", "utf-8")
    with pytest.raises(ValueError, match="database is defined twice"):
        made_files(copy)


def test_what_was_changed_by_hand_is_noticed(copy: Path) -> None:
    hook = copy / "template-fastapi" / "hooks" / "post_gen_project.py"
    hook.write_text(hook.read_text("utf-8") + "# changed\n", "utf-8")
    done = run(sys.executable, "scripts/sync.py", "--check", cwd=copy, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "post_gen_project.py is out of date" in done.stderr


@pytest.mark.parametrize(
    ("question", "problem"),
    [
        ("items:\n  type: str\n  help: Items\n  default: x\n", "method of dictionaries"),
        ("port:\n  type: int\n  help: Port\n  default: 1\n", "neither of type str nor bool"),
        ("one:\n  type: str\n  help: One\n  default: x\n  secret: true\n", "only copier knows: secret"),
    ],
)
def test_a_question_that_cookiecutter_cannot_ask_is_noticed(copy: Path, question: str, problem: str) -> None:
    (copy / "questions" / "fastapi.yml").write_text(question)
    with pytest.raises(ValueError, match=problem):
        made_files(copy)


@pytest.fixture
def with_senders(copy: Path) -> Path:
    """This template with a question that takes several choices, and one that depends on it."""
    questions = copy / "questions" / "fastapi.yml"
    questions.write_text(SENDERS + questions.read_text("utf-8"), "utf-8")
    entry = copy / "copier.yml"
    entry.write_text(entry.read_text("utf-8").replace('"ci": ci,', FOR_TEMPLATES), "utf-8")
    shown = copy / "template-fastapi" / "{{cookiecutter.project_slug}}" / "senders.txt"
    shown.write_text("{{ cookiecutter.senders }} {{ cookiecutter.retries }}\n")
    run(sys.executable, "scripts/sync.py", cwd=copy)
    commit(copy, "v0.1.0")
    return copy


def test_several_choices_work_with_both_engines(with_senders: Path, tmp_path: Path) -> None:
    answers = {"senders": "n8n, stripe"}
    one = with_cookiecutter(with_senders, answers, tmp_path / "one")
    other = with_copier(with_senders, {"senders": ["n8n", "stripe"]}, tmp_path / "other")
    assert (one / "senders.txt").read_text() == "stripe,n8n 3\n"
    assert (tree(one), remembered(one)) == (tree(other), remembered(other))

    one = with_cookiecutter(with_senders, {"senders": ""}, tmp_path / "one-none")
    other = with_copier(with_senders, {"senders": []}, tmp_path / "other-none")
    assert (tree(one), remembered(one)) == (tree(other), remembered(other))
    assert remembered(one)["senders"] == []
    assert "retries" not in remembered(one)

    for engine in (with_cookiecutter, with_copier):
        with pytest.raises(Refused, match=r"^Invalid choice for 'senders': 'paypal' is not in \['stripe', 'twilio'"):
            engine(with_senders, {"senders": "stripe,paypal"}, tmp_path / "refused")
        with pytest.raises(Refused, match=r"Retries apply only to Stripe: add stripe to senders"):
            engine(with_senders, {"senders": "n8n", "retries": "5"}, tmp_path / "refused")
