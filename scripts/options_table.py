"""Make the options table in README.md from questions/.

python -m scripts.options_table            writes it between the two marker lines
python -m scripts.options_table --check    fails when it is out of date
"""

import sys

from proof.generate import ROOT
from proof.questions import Question, Questionnaire

BEGIN = "<!-- options: made from questions/ by scripts/options_table.py -->"
END = "<!-- end of options -->"


def main(arguments: list[str]) -> int:
    readme = ROOT / "README.md"
    text = readme.read_text("utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        print(f"README.md lacks the lines\n{BEGIN}\n{END}", file=sys.stderr)
        return 1
    new = f"{before}{BEGIN}\n{table(Questionnaire(ROOT))}{END}{after}"
    if new == text:
        return 0
    if "--check" in arguments:
        print("The options table in README.md is out of date: run make sync", file=sys.stderr)
        return 1
    readme.write_text(new, encoding="utf-8", newline="\n")
    print("README.md written")
    return 0


def table(questionnaire: Questionnaire) -> str:
    plain = questionnaire.complete({})
    asked = {stack: questionnaire.asked(stack) for stack in questionnaire.stacks}
    rows = []
    for name, question in questionnaire.questions.items():
        stacks = [stack for stack in asked if name == "stack" or name in asked[stack]]
        of = "both" if len(stacks) == len(asked) else ", ".join(stacks)
        rows.append(f"| `{name}` | {of} | {cell(question.help)} | {values(question, plain[name])} |")
    head = ["| answer | stack | what it asks | values, the default first |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, ""])


def values(question: Question, default: object) -> str:
    if question.free_text:
        return f"text, such as `{default}`"
    words = [str(value).lower() if isinstance(value, bool) else str(value) for value in question.values]
    if question.multiple:
        default = f" (default: {' and '.join(question.default)})" if question.default else ""
        return f"any of {', '.join(f'`{value}`' for value in question.choices.values())}{default}"
    return ", ".join(f"`{word}`" for word in words)


def cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
