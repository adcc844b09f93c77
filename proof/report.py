"""What was proved: a page to keep (`prove-report.html`) and a table for the terminal."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

from proof.arrays import Factors, tuples
from proof.engines import EnginesReport
from proof.files import FilesReport
from proof.projects import STEPS, Outcome

STYLE = """
:root { color-scheme: light dark; --line: #8884; --good: #2a9d5c; --bad: #d1433f; --soft: #8881; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: .88rem; }
th, td { border: 1px solid var(--line); padding: .25rem .55rem; }
th { text-align: left; font-weight: 600; background: var(--soft); } td.number { text-align: right; }
td.number, pre { font-variant-numeric: tabular-nums; }
.cards { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1.2rem 0; }
.card { border: 1px solid var(--line); border-radius: .6rem; padding: .7rem 1rem; min-width: 9rem; }
.card b { display: block; font-size: 1.5rem; } .good { color: var(--good); } .bad { color: var(--bad); }
td.hit { background: color-mix(in srgb, var(--good) 22%, transparent); text-align: center; }
td.miss { background: color-mix(in srgb, var(--bad) 30%, transparent); text-align: center; }
td.none { background: var(--soft); } th.turn { writing-mode: vertical-rl; transform: rotate(180deg); font-weight: 400; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; border-radius: .4rem; font-size: .8rem; }
.wide { overflow-x: auto; }
.bar { display: inline-block; height: .6rem; background: var(--good); border-radius: .2rem; }
"""


@dataclass
class Proof:
    """The result of all three layers; a layer that was not asked for is absent."""

    strength: int
    factors: dict[str, Factors] = field(default_factory=dict)
    files: FilesReport | None = None
    engines: EnginesReport | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    seconds: float = 0

    @property
    def failures(self) -> list[str]:
        return [
            *(self.files.failures if self.files else ()),
            *(self.engines.failures if self.engines else ()),
            *(str(outcome) for outcome in self.outcomes if outcome.failed),
        ]


def print_table(proof: Proof, console: Console) -> None:
    table = Table(title=f"Whole projects, {proof.strength}-way")
    table.add_column("variant")
    for name in ("Python", "seconds", "coverage", ""):
        table.add_column(name, justify="right", no_wrap=True)
    names = _names(proof.outcomes)
    for outcome in proof.outcomes:
        table.add_row(
            " ".join(_short(name, outcome.words[name]) for name in names if name in outcome.words),
            outcome.python + ("" if outcome.python == outcome.asked_python else "!"),
            f"{outcome.total:.0f}",
            f"{outcome.coverage:.1f} %",
            f"[red]{outcome.failed}[/red]" if outcome.failed else "[green]passed[/green]",
        )
    if proof.outcomes:
        console.print(table)
    for line in said_aloud(proof):
        console.print(line)


def said_aloud(proof: Proof) -> list[str]:
    """The numbers, and everything that was done differently from what was asked."""
    lines = []
    if proof.files:
        lines.append(f"Every file: {proof.files}")
        lines += [f"  sampled: {name}" for name in proof.files.sampled]
    if proof.engines:
        count = len(proof.engines.failures)
        lines.append(f"Engines: {proof.engines.rows} rows compared, {count} differences, {proof.engines.seconds:.0f} s")
    failed = sum(bool(outcome.failed) for outcome in proof.outcomes)
    if proof.outcomes:
        lines.append(f"Projects: {len(proof.outcomes)} built, {failed} failed; {proof.seconds / 60:.1f} min in all")
    instead = sorted({(o.asked_python, o.python) for o in proof.outcomes if o.python != o.asked_python})
    lines += [f"  ! Python {asked} is not on this machine: its rows ran on {python}" for asked, python in instead]
    return lines


def write_page(proof: Proof, path: Path) -> None:
    failures = proof.failures
    cards = [("variants built", str(len(proof.outcomes))), ("failures", str(len(failures)))]
    if proof.files:
        cards += [
            ("template files", str(proof.files.files)),
            ("combinations stood for", f"{proof.files.combinations:,}"),
            ("distinct results checked", f"{proof.files.distinct:,}"),
        ]
    if proof.engines:
        cards.append(("engine rows, byte for byte", str(proof.engines.rows)))
    cards.append(("minutes", f"{proof.seconds / 60:.1f}"))
    parts = [
        "<h1>Every variant, proved</h1>",
        f"<p class={'bad' if failures else 'good'}>{'Something failed.' if failures else 'Everything passed.'}</p>",
        '<div class="cards">',
        *(f'<div class="card"><b>{value}</b>{name}</div>' for name, value in cards),
        "</div>",
        "".join(f"<p>{html.escape(line)}</p>" for line in said_aloud(proof)),
    ]
    if failures:
        parts.append("<h2>Failures</h2>")
        parts += [f"<pre>{html.escape(failure)}</pre>" for failure in failures]
    if proof.outcomes:
        parts += ["<h2>Time per variant</h2>", '<div class="wide">', _times(proof.outcomes), "</div>"]
    for stack, factors in proof.factors.items():
        rows = [outcome for outcome in proof.outcomes if outcome.words["stack"] == stack]
        if not rows:
            continue
        wanted = len(tuples(factors, proof.strength))
        what = "pairs" if proof.strength == 2 else f"combinations of {min(proof.strength, len(factors))}"
        parts.append(f"<h2>Options × values × pairs: {html.escape(stack)}</h2>")
        parts.append(
            f"<p>All {wanted} {what} of {', '.join(factors)} were built. A cell says in how many "
            "variants two values met; the other options rotate, each of their values is built at least once.</p>"
        )
        parts += ['<div class="wide">', _pairs(rows, factors), "</div>"]
    page = "\n".join(parts)
    path.write_text(
        '<!doctype html>\n<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Every variant, proved</title>\n<style>{STYLE}</style>\n<body>\n{page}\n</body></html>\n",
        encoding="utf-8",
    )


def _names(outcomes: Sequence[Outcome]) -> list[str]:
    """Options that differ between the outcomes."""
    names = dict.fromkeys(name for outcome in outcomes for name in outcome.words)
    return [name for name in names if len({outcome.words.get(name) for outcome in outcomes}) > 1]


def _short(name: str, value: str) -> str:
    return {"true": name, "false": f"no-{name}"}.get(value, f"{name}-{value}" if value == "none" else value)


def _times(outcomes: Sequence[Outcome]) -> str:
    names = _names(outcomes)
    longest = max(outcome.total for outcome in outcomes) or 1
    head = "".join(f"<th>{html.escape(name)}</th>" for name in (*names, "Python", *STEPS, "total", "", "coverage", ""))
    body = []
    for outcome in outcomes:
        python = outcome.python + ("" if outcome.python == outcome.asked_python else " (!)")
        cells = [f"<td>{html.escape(outcome.words.get(name, ''))}</td>" for name in names]
        cells.append(f"<td>{python}</td>")
        cells += [f'<td class="number">{_seconds(outcome.seconds.get(step))}</td>' for step in STEPS]
        cells.append(f'<td class="number">{outcome.total:.1f}</td>')
        cells.append(f'<td><span class="bar" style="width:{outcome.total / longest * 8:.2f}rem"></span></td>')
        cells.append(f'<td class="number">{outcome.coverage:.1f} % ({outcome.branch_coverage:.1f} %)</td>')
        cells.append(f"<td class=bad>{outcome.failed}</td>" if outcome.failed else "<td class=good>passed</td>")
        body.append(f"<tr>{''.join(cells)}</tr>")
    return (
        f"<table><tr>{head}</tr>{''.join(body)}</table>"
        "<p>Seconds; coverage of lines and branches (of branches alone).</p>"
    )


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"


def _pairs(outcomes: Sequence[Outcome], factors: Factors) -> str:
    names = [name for name in dict.fromkeys(name for outcome in outcomes for name in outcome.words) if name != "stack"]
    values = [(name, value) for name in names for value in dict.fromkeys(o.words.get(name) for o in outcomes) if value]
    head = "".join(f'<th class="turn">{html.escape(f"{name}={value}")}</th>' for name, value in values)
    body = []
    for name, value in values:
        cells = []
        for other, other_value in values:
            count = sum(o.words.get(name) == value and o.words.get(other) == other_value for o in outcomes)
            promised = name != other and name in factors and other in factors
            kind = "none" if name == other else "hit" if count else "miss" if promised else ""
            cells.append(f'<td class="{kind}">{count if name != other and (count or promised) else ""}</td>')
        body.append(f"<tr><th>{html.escape(f'{name}={value}')}</th>{''.join(cells)}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(body)}</table>"
