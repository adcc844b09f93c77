"""Make each template's cookiecutter.json and hooks from questions/, hooks/ and copier.yml; copy shared/ into its tree.

python scripts/sync.py            writes them
python scripts/sync.py --check    says which are out of date, and fails if any is
"""

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jinja2
import yaml
from jinja2 import meta

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = re.compile(r'{%-? include "(questions/[^"]+)" -?%}')
LOCAL_IMPORT = re.compile(r"^from hooks\.\w+ import (\([^)]*\)|.*)\n", re.MULTILINE)
HEADER = "# Made by scripts/sync.py from hooks/ and questions/: change those."
QUESTION_KEYS = {"type", "help", "default", "choices", "multiselect", "when", "validator"}

Document = dict[str, Any]


def main(arguments: list[str]) -> int:
    stale = [path for path, text in made_files(ROOT).items() if not path.exists() or path.read_text("utf-8") != text]
    for path in stale:
        if "--check" in arguments:
            print(f"{path.relative_to(ROOT)} is out of date: run python scripts/sync.py", file=sys.stderr)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(made_files(ROOT)[path], encoding="utf-8", newline="\n")
            print(f"{path.relative_to(ROOT)} written")
    return 1 if stale and "--check" in arguments else 0


def made_files(root: Path) -> dict[Path, str]:
    """Everything that is made, by path."""
    made: dict[Path, str] = {}
    for name, template in json.loads((root / "cookiecutter.json").read_text("utf-8"))["templates"].items():
        folder = root / template["path"]
        settings, questions = read(root, name)
        questionnaire = json.dumps(for_hooks(root, name, settings, questions), indent=2, ensure_ascii=False)
        made[folder / "cookiecutter.json"] = cookiecutter_json(root, settings, questions)
        made[folder / "hooks" / "pre_gen_project.py"] = before_hook(root, questionnaire)
        made[folder / "hooks" / "post_gen_project.py"] = after_hook(root)
        tree = folder / "{{cookiecutter.project_slug}}"
        for file in shared_files(root):
            made[tree / file.relative_to(root / "shared")] = file.read_text("utf-8")
    return made


def shared_files(root: Path) -> list[Path]:
    """What both templates have: neither engine can include it from outside of the tree."""
    return sorted(path for path in (root / "shared").rglob("*") if path.is_file())


def read(root: Path, stack: str) -> tuple[Document, Document]:
    """copier.yml with the questions of one stack, as settings and questions."""
    settings: Document = {"_exclude": []}
    questions: Document = {}
    defined: set[str] = set()
    for file, document in documents(root / "copier.yml"):
        for name, value in document.items():
            if name in defined and name != "_exclude":
                raise ValueError(f"{name} is defined twice: copier would silently take the last one")
            defined.add(name)
            if file.stem not in {"copier", "common", "broker", stack} or name in {"stack", "cookiecutter"}:
                continue
            if name == "_exclude":
                settings["_exclude"] += value
            elif name.startswith("_"):
                settings[name] = value
            else:
                check(name, value)
                questions[name] = value
    return settings, questions


def documents(path: Path) -> Iterator[tuple[Path, Document]]:
    """The documents of a YAML file and of those that it includes, each with the file that it stands in."""

    class Loader(yaml.SafeLoader):
        pass

    def include(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> Path:
        return path.parent / loader.construct_scalar(node)

    Loader.add_constructor("!include", include)
    for document in yaml.load_all(path.read_text("utf-8"), Loader):
        if isinstance(document, Path):
            yield from documents(document)
        else:
            yield path, document


def check(name: str, question: Document) -> None:
    """Refuse what cookiecutter has no counterpart for."""
    problem = None
    if hasattr(dict, name):
        problem = "has the name of a method of dictionaries, which templates would get instead of the answer"
    elif unknown := set(question) - QUESTION_KEYS:
        problem = f"has keys that only copier knows: {', '.join(sorted(unknown))}"
    elif question["type"] not in {"str", "bool"}:
        problem = "is neither of type str nor bool"
    elif question.get("multiselect") and not isinstance(question.get("default"), list):
        problem = "takes several choices, so its default has to be a list"
    elif any(mark in text for text in [question["help"], *choices(question).values()] for mark in "{["):
        problem = "has a bracket in its help or in a label, which a terminal takes for markup"
    if problem:
        raise ValueError(f"The question {name} {problem}")


def choices(question: Document) -> dict[str, str]:
    """Values and their labels."""
    given = question.get("choices", [])
    return {value: label for label, value in given.items()} if isinstance(given, dict) else {one: one for one in given}


def cookiecutter_json(root: Path, settings: Document, questions: Document) -> str:
    context: Document = {}
    prompts: Document = {}
    for name, question in questions.items():
        labels = choices(question)
        context[name] = question["default"]
        prompts[name] = question["help"]
        if question.get("multiselect"):
            context[name] = ",".join(question["default"])
            context[f"__{name}"] = in_order(name, list(labels))
            prompts[name] += f" (any of {', '.join(labels)}; commas between them)"
        elif labels:
            context[name] = sorted(labels, key=lambda value: bool(value != question["default"]))
            prompts[name] = {"__prompt__": question["help"], **labels}
        elif isinstance(question["default"], str):
            context[name] = prefixed(root, question["default"], set(questions))
    # An empty name: the hook writes the answers file, because only it can know what copier knows by itself.
    context["__answers_file"] = ""
    context["_jinja2_env_vars"] = {name: settings["_envops"][name] for name in ("trim_blocks", "lstrip_blocks")}
    context["__prompts__"] = prompts
    return json.dumps(context, indent=2, ensure_ascii=False) + "\n"


def in_order(name: str, known: list[str]) -> str:
    """Jinja that puts a comma text into the order of the choices; what is unknown stays, for the hook to refuse."""
    return (
        f"{{% set known = {json.dumps(known)} %}}"
        f"{{% set given = cookiecutter.{name}.split(',') | map('trim') | select | list %}}"
        "{% set text = (known | select('in', given) | list + given | reject('in', known) | list) | join(',') %}"
        f"{{{{ cookiecutter.update({{'{name}': text}}) or '' }}}}"
    )


def prefixed(root: Path, source: str, names: set[str]) -> str:
    """A default that finds the answers where cookiecutter has them; it has no place to include files from."""
    source = INCLUDE.sub(lambda match: " ".join((root / match[1]).read_text("utf-8").split()), source)
    mentioned = meta.find_undeclared_variables(jinja2.Environment(autoescape=True).parse(source)) & names
    return "".join(f"{{%- set {name} = cookiecutter.{name} -%}}" for name in sorted(mentioned)) + source


def for_hooks(root: Path, stack: str, settings: Document, questions: Document) -> Document:
    """What the hooks have to know of the questionnaire."""
    return {
        "stack": stack,
        "questions": [
            {
                "name": name,
                "choices": list(choices(question)),
                "multiselect": bool(question.get("multiselect")),
                "when": str(question.get("when", True)),
                "validator": question.get("validator", ""),
            }
            for name, question in questions.items()
        ],
        "exclude": settings["_exclude"],
        "message": settings["_message_after_copy"],
        "settings": {name: value for name, value in settings["_envops"].items() if name != "undefined"},
        "partials": {
            f"questions/{path.name}": path.read_text("utf-8")
            for path in sorted((root / "questions").iterdir())
            if path.suffix != ".yml"
        },
    }


def before_hook(root: Path, questionnaire: str) -> str:
    if "'''" in questionnaire or "endraw" in questionnaire:
        raise ValueError("A question has ''' or endraw in it, which would end its quotation in the hook")
    return (
        f"{HEADER}\n"
        "CONTEXT = r'''{{ cookiecutter | tojson }}'''\n"
        "# {% raw %}\n"
        f"QUESTIONS = r'''{questionnaire}'''\n\n"
        f"{source(root, 'answers', 'origin', 'before')}\n\n\n"
        'if __name__ == "__main__":\n'
        "    sys.exit(before(QUESTIONS, CONTEXT))\n"
        "# {% endraw %}\n"
    )


def after_hook(root: Path) -> str:
    return (
        f"{HEADER}\n"
        "# {% raw %}\n"
        f"{source(root, 'after')}\n\n\n"
        'if __name__ == "__main__":\n'
        "    sys.exit(after())\n"
        "# {% endraw %}\n"
    )


def source(root: Path, *modules: str) -> str:
    """One self-contained text: cookiecutter finds a nested template's hooks only in its own hooks/."""
    texts = [(root / "hooks" / f"{module}.py").read_text("utf-8") for module in modules]
    return "\n\n".join(LOCAL_IMPORT.sub("", text).strip() for text in texts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
