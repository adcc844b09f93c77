"""What the answers mean: refusals, pieces left out, what is remembered. The same as copier makes of them."""

import json
from collections.abc import Mapping
from typing import Any, TypedDict

import jinja2

ANSWERS_FILE = ".copier-answers.yml"


class Question(TypedDict):
    name: str
    choices: list[str]
    multiselect: bool
    when: str
    validator: str


class Questionnaire(TypedDict):
    stack: str
    questions: list[Question]
    exclude: list[str]
    message: str
    settings: dict[str, bool]
    partials: dict[str, str]


def environment(questionnaire: Questionnaire) -> jinja2.Environment:
    """Jinja with copier's settings; `partials` are what templates include."""
    loader = jinja2.DictLoader(questionnaire["partials"])
    settings: dict[str, Any] = dict(questionnaire["settings"])
    return jinja2.Environment(undefined=jinja2.StrictUndefined, loader=loader, **settings)


def typed(questionnaire: Questionnaire, cookiecutter: Mapping[str, Any]) -> dict[str, Any]:
    """All answers, typed as copier types them: several choices come as comma text and become a list."""
    answers: dict[str, Any] = {"stack": questionnaire["stack"]}
    for question in questionnaire["questions"]:
        answer = cookiecutter[question["name"]]
        answers[question["name"]] = [one for one in answer.split(",") if one] if question["multiselect"] else answer
    return answers


def refusals(questionnaire: Questionnaire, answers: Mapping[str, Any]) -> list[str]:
    """One sentence for each answer that is not accepted."""
    jinja = environment(questionnaire)
    sentences = []
    for question in questionnaire["questions"]:
        name, choices = question["name"], question["choices"]
        given = answers[name] if question["multiselect"] else [answers[name]]
        unknown = [one for one in given if choices and one not in choices]
        if unknown:
            sentences.append(f"Invalid choice for '{name}': {unknown[0]!r} is not in {choices}")
        elif sentence := jinja.from_string(question["validator"]).render(answers).strip():
            sentences.append(sentence)
    return sentences


def left_out(questionnaire: Questionnaire, answers: Mapping[str, Any]) -> list[str]:
    """The paths of all pieces that the answers do not enable."""
    jinja = environment(questionnaire)
    entries = [jinja.from_string(entry).render(answers, _copier_operation="copy") for entry in questionnaire["exclude"]]
    return [line.strip() for line in "\n".join(entries).splitlines() if line.strip()]


def applicable(questionnaire: Questionnaire, answers: Mapping[str, Any]) -> dict[str, Any]:
    """The answers whose question applies; only these are remembered."""
    jinja = environment(questionnaire)
    hidden = {
        question["name"]
        for question in questionnaire["questions"]
        if jinja.from_string(question["when"]).render(answers).strip().lower() in {"", "0", "false", "no"}
    }
    return {name: answer for name, answer in answers.items() if name not in hidden}


def answers_file(remembered: Mapping[str, Any]) -> str:
    """YAML, because JSON values are YAML values."""
    lines = [f"{name}: {json.dumps(answer, ensure_ascii=False)}\n" for name, answer in remembered.items()]
    return "# Written by the template and read by copier update. Do not edit by hand.\n" + "".join(lines)


def next_steps(
    questionnaire: Questionnaire, answers: Mapping[str, Any], remembered: Mapping[str, Any], folder: str
) -> str:
    conf = {"dst_path": folder, "answers_file": ANSWERS_FILE}
    message = environment(questionnaire).from_string(questionnaire["message"])
    return message.render(answers, _copier_conf=conf, _copier_answers=remembered)
