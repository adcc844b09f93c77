"""How much template there may be in the templates, so that they stay code that an editor can read."""

import ast

import jinja2
import pytest
from jinja2 import nodes

from proof.files import TemplateFile, template_files
from proof.generate import ROOT
from proof.questions import Questionnaire

QUESTIONNAIRE = Questionnaire(ROOT)
FILES = [(stack, file) for stack in QUESTIONNAIRE.stacks for file in template_files(QUESTIONNAIRE, stack)]
BY_PATH = pytest.mark.parametrize("file", [file for _, file in FILES], ids=[file.path for _, file in FILES])

MOST_TAG_LINES = 3  # per 100 lines of Python
LEAST_PLAIN = 80  # per cent of the Python files
NAMES = ("{{cookiecutter.project_slug}}", "{{cookiecutter.__answers_file}}")


def tag_lines(body: str) -> int:
    """Lines with a tag that the engine acts on; what stands between raw and endraw is text."""
    tokens = list(jinja2.Environment().lex(body))
    begins = ("block_begin", "variable_begin", "raw_begin", "raw_end", "comment_begin")
    return len({line for line, kind, _ in tokens if kind in begins})


@pytest.mark.parametrize("stack", QUESTIONNAIRE.stacks)
def test_few_lines_of_python_are_template_tags(stack: str) -> None:
    bodies = [file.body or "" for of, file in FILES if of == stack and file.path.endswith(".py")]
    tags, lines = sum(map(tag_lines, bodies)), sum(len(body.splitlines()) for body in bodies)
    print(f"{stack}: {tags} tag lines in {lines} lines of Python")
    assert 100 * tags <= MOST_TAG_LINES * lines


@pytest.mark.parametrize("stack", QUESTIONNAIRE.stacks)
def test_most_python_files_are_python_already_in_the_template(stack: str) -> None:
    bodies = [file.body or "" for of, file in FILES if of == stack and file.path.endswith(".py")]
    plain = sum(map(parses, bodies))
    print(f"{stack}: {plain} of {len(bodies)} Python files are plain Python")
    assert 100 * plain >= LEAST_PLAIN * len(bodies)


def parses(body: str) -> bool:
    try:
        ast.parse(body)
    except SyntaxError:
        return False
    return True


@BY_PATH
def test_no_condition_stands_inside_another(file: TemplateFile) -> None:
    for outer in QUESTIONNAIRE.environment.parse(file.body or "").find_all((nodes.If, nodes.For)):
        inner = [found for found in outer.find_all((nodes.If, nodes.For)) if found not in outer_chain(outer)]
        assert not inner, f"{file.path}, line {inner[0].lineno}: a condition inside another"


def outer_chain(node: nodes.Node) -> list[nodes.Node]:
    """An elif is a node below its if, yet no deeper than it."""
    return list(node.elif_) if isinstance(node, nodes.If) else []


@BY_PATH
def test_file_names_carry_no_conditions(file: TemplateFile) -> None:
    name = file.path
    for allowed in NAMES:
        name = name.replace(allowed, "")
    assert not set("{}%") & set(name)


def test_only_the_root_folder_has_a_tag_in_its_name() -> None:
    for stack in QUESTIONNAIRE.stacks:
        folders = [path.name for path in (ROOT / f"template-{stack}").rglob("*") if path.is_dir()]
        assert [name for name in folders if "{" in name] == ["{{cookiecutter.project_slug}}"]
