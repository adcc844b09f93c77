"""What cannot become a good project is refused: with the same sentence by both engines, leaving nothing behind."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hooks.answers import Questionnaire, environment, refusals, typed
from proof.generate import Refused, with_cookiecutter, with_copier
from scripts.sync import ROOT, for_hooks, read
from tests.engines import cookiecutter, tree

SLUG_LETTERS = (
    "The project slug has a character in it that is no lower-case letter (a to z), digit or hyphen: "
    'write it like "my-service".'
)
NO_EMAIL = 'The e-mail of the author is none: write it like "you@example.com".'
OWN_DEPENDENCY = (
    "The project slug is the name of a package that the project itself depends on: choose another, such as "
)

REFUSED = [
    ("project_slug", "My-Service", SLUG_LETTERS),
    ("project_slug", "my_service", SLUG_LETTERS),
    ("project_slug", "my service", SLUG_LETTERS),
    ("project_slug", "müller", SLUG_LETTERS),
    ("project_slug", "../escape", SLUG_LETTERS),
    ("project_slug", "deep/er", SLUG_LETTERS),
    ("project_slug", "line\nbreak", SLUG_LETTERS),
    ("project_slug", "1st", 'The project slug does not start with a letter: write it like "my-service".'),
    ("project_slug", "-first", 'The project slug does not start with a letter: write it like "my-service".'),
    ("project_slug", "last-", "The project slug ends in a hyphen: remove it."),
    ("project_slug", "two--hyphens", "The project slug has two hyphens in a row: remove one."),
    ("project_slug", "a" * 51, "The project slug is longer than 50 characters: shorten it."),
    ("project_slug", "fastapi", OWN_DEPENDENCY + '"fastapi-service".'),
    ("project_slug", "starlette", OWN_DEPENDENCY + '"starlette-service".'),
    ("project_name", "", "The project name is empty: write one."),
    ("project_name", "   ", "The project name is empty: write one."),
    ("project_name", "Two\nlines", "The project name has a line break in it: write it on one line."),
    ("description", "Two\u2028lines", "The description has a line break in it: write it on one line."),
    ("description", "a\ttab", "The description has a control character in it: remove it."),
    ("author_name", "bell\x07", "The name of the author has a control character in it: remove it."),
    ("author_name", " Jo", "The name of the author begins or ends with a space: remove it."),
    (
        "project_name",
        "Rocket 🚀",
        "The project name has an emoji or another rare character in it (beyond U+FFFD): leave it out.",
    ),
    ("author_email", "nobody", NO_EMAIL),
    ("author_email", "a@b", NO_EMAIL),
    ("author_email", "a b@example.com", NO_EMAIL),
    ("author_email", "a@b@example.com", NO_EMAIL),
    ("author_email", "@example.com", NO_EMAIL),
    ("author_email", "a@.example.com", NO_EMAIL),
    ("author_email", 'a"@example.com', NO_EMAIL),
    ("author_email", "", NO_EMAIL),
]


@pytest.fixture(scope="module")
def questionnaire() -> Questionnaire:
    made: Questionnaire = for_hooks(ROOT, "fastapi", *read(ROOT, "fastapi"))  # type: ignore[assignment]
    return made


@pytest.mark.parametrize("engine", [with_cookiecutter, with_copier])
def test_a_theme_that_the_python_version_cannot_run_is_refused(
    template: Path, tmp_path: Path, engine: Callable[..., Path]
) -> None:
    answers = {"stack": "django", "admin_theme": "unfold", "python_version": "3.11"}
    with pytest.raises(Refused, match=r"unfold needs Python 3\.12 or newer: choose another python_version"):
        engine(template, answers, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("engine", [with_cookiecutter, with_copier])
@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        (
            {"database": "postgresql", "container": False},
            "The deploy aws runs containers: say yes to container, or choose the deploy none.",
        ),
        (
            {"database": "sqlite"},
            "The deploy aws keeps its data in PostgreSQL: choose the database postgresql, or the deploy none.",
        ),
        (
            {"stack": "django", "database": "postgresql"},
            "The deploy aws runs containers, and what they write is gone when they stop: "
            "choose the media s3, or the deploy none.",
        ),
    ],
    ids=["without containers", "on sqlite", "with media on a container's disk"],
)
def test_what_the_deployment_cannot_run_is_refused(
    template: Path, tmp_path: Path, engine: Callable[..., Path], answers: dict[str, object], sentence: str
) -> None:
    with pytest.raises(Refused) as refused:
        engine(template, answers | {"deploy": "aws"}, tmp_path)
    assert str(refused.value).endswith(sentence)
    assert not list(tmp_path.iterdir())


def test_an_answer_of_another_stack_is_refused_by_the_engine_that_knows_all_questions(
    template: Path, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match="The answer media is of the Django stack: choose the stack django, or leave"):
        with_copier(template, {"stack": "fastapi", "media": "s3"}, tmp_path)


@pytest.mark.parametrize("engine", [with_cookiecutter, with_copier])
@pytest.mark.parametrize(
    ("answers", "sentence"),
    [
        ({}, "The broker carries jobs and webhooks: say yes to jobs, choose webhooks, or choose the broker embedded."),
        (
            {"jobs": True, "deploy": "aws", "database": "postgresql"},
            "The deploy aws of the FastAPI stack has no broker: choose the broker embedded, or the deploy none.",
        ),
    ],
)
def test_a_broker_without_jobs_or_where_there_is_none_is_refused(
    engine: Callable[..., Path], answers: dict[str, Any], sentence: str, template: Path, tmp_path: Path
) -> None:
    with pytest.raises(Refused) as refused:
        engine(template, answers | {"broker": "redis"}, tmp_path)
    assert str(refused.value).endswith(sentence)


@pytest.mark.parametrize("engine", [with_cookiecutter, with_copier])
def test_an_outbox_that_nobody_empties_is_refused(engine: Callable[..., Path], template: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        engine(template, {"outbox": True}, tmp_path)
    assert str(refused.value).endswith(
        "The outbox is emptied by the workers of jobs and webhooks: "
        "say yes to jobs, choose webhooks, or say no to outbox."
    )
    assert not list(tmp_path.iterdir())


def test_who_may_use_the_api_is_asked_by_the_fastapi_stack_alone(template: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="The answer auth is of the FastAPI stack: choose the stack fastapi, or leave"):
        with_copier(template, {"stack": "django", "auth": "api_key"}, tmp_path)


def only(questionnaire: Questionnaire, name: str) -> Questionnaire:
    return {**questionnaire, "questions": [one for one in questionnaire["questions"] if one["name"] == name]}


@pytest.mark.parametrize(("name", "answer", "sentence"), REFUSED)
def test_a_bad_answer_is_refused_with_the_same_sentence_by_both_engines(
    template: Path, tmp_path: Path, questionnaire: Questionnaire, name: str, answer: str, sentence: str
) -> None:
    answers = {question["name"]: "" for question in questionnaire["questions"]} | {name: answer}
    only_this: Questionnaire = {
        **questionnaire,
        "questions": [one for one in questionnaire["questions"] if one["name"] == name],
    }
    assert refusals(only_this, answers) == [sentence]
    with pytest.raises(Refused) as refused:
        with_copier(template, {name: answer}, tmp_path)
    assert str(refused.value) == f"Validation error for question '{name}': {sentence}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("slug", ["my_service", "../escape", "../../escape", "deep/er", "line\nbreak"])
def test_a_refused_project_leaves_nothing_behind(template: Path, tmp_path: Path, slug: str) -> None:
    (tmp_path / "work").mkdir()
    with pytest.raises(Refused) as refused:
        with_cookiecutter(template, {"project_slug": slug}, tmp_path / "work" / "new" / "output")
    assert str(refused.value) == SLUG_LETTERS
    assert list(tmp_path.rglob("*")) == [tmp_path / "work"]


@pytest.mark.parametrize("slug", ["my_service", "../escape", "deep/er"])
def test_a_refused_project_leaves_folders_alone_that_were_there_before(
    template: Path, tmp_path: Path, slug: str
) -> None:
    (tmp_path / "mine").mkdir()
    with pytest.raises(Refused):
        with_cookiecutter(template, {"project_slug": slug}, tmp_path / "mine")
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_all_bad_answers_are_named_at_once(template: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused) as refused:
        with_cookiecutter(template, {"project_slug": "fastapi", "author_email": "nobody"}, tmp_path)
    assert str(refused.value).splitlines() == [OWN_DEPENDENCY + '"fastapi-service".', NO_EMAIL]


@pytest.mark.parametrize("engine", [with_cookiecutter, with_copier])
def test_an_unknown_choice_is_refused_in_the_words_of_the_engine(template: Path, tmp_path: Path, engine: Any) -> None:
    with pytest.raises(Refused, match=r"(?i)WTFPL.*'MIT', 'BSD-3-Clause'"):
        engine(template, {"license": "WTFPL"}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_not_touched(template: Path, tmp_path: Path) -> None:
    (tmp_path / "my-service").mkdir()
    (tmp_path / "my-service" / "mine.txt").write_text("mine")
    before = tree(tmp_path)
    done = cookiecutter("-f", template, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "already holds something" in done.stderr
    assert "copier update" in done.stderr
    assert tree(tmp_path) == before


def test_an_empty_folder_is_no_obstacle(template: Path, tmp_path: Path) -> None:
    (tmp_path / "my-service").mkdir()
    cookiecutter("-f", template, cwd=tmp_path)
    assert (tmp_path / "my-service" / ".copier-answers.yml").exists()


def difficult_names() -> list[str]:
    chance = random.Random(1)  # noqa: S311
    alphabet = "aZ9 -_.'’/\\äßé東😀ﬁİ\u00a0"
    made = ["".join(chance.choices(alphabet, k=chance.randrange(1, 70))) for _ in range(100)]
    packages = (ROOT / "questions" / "package-names.txt").read_text("utf-8").split()
    return ["東京", "123", "FastAPI", "x" * 80, "a" * 49 + " b", "-", "9 Lives", "Ä", *packages, *made]


def test_the_proposed_slug_is_valid_whatever_the_name(questionnaire: Questionnaire) -> None:
    _, questions = read(ROOT, "fastapi")
    jinja = environment(questionnaire)
    propose = jinja.from_string(questions["project_slug"]["default"])
    only_slug: Questionnaire = {
        **questionnaire,
        "questions": [one for one in questionnaire["questions"] if "slug" in one["name"]],
    }
    for name in difficult_names():
        slug = propose.render(project_name=name)
        assert refusals(only_slug, typed(only_slug, {"project_slug": slug})) == [], (name, slug)


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("My Service", "my-service"),
        ("東京", "my-service"),
        ("123", "my-service"),
        ("FastAPI", "fastapi-service"),
        ("Müller & Söhne", "mueller-soehne"),
        ("O'Brien's CRM", "obriens-crm"),
    ],
)
def test_the_proposed_slug_reads_like_the_name(template: Path, tmp_path: Path, name: str, slug: str) -> None:
    assert with_cookiecutter(template, {"project_name": name}, tmp_path / "one").name == slug
    assert with_copier(template, {"project_name": name}, tmp_path / "other").name == slug
