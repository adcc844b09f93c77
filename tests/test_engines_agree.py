"""Layer 3 of the proof, pairwise; `make prove` compares triples."""

from pathlib import Path

import pytest

from proof.engines import Comparison, compare, comparisons, differences
from proof.generate import ROOT
from proof.questions import Questionnaire

ROWS = comparisons(Questionnaire(ROOT), strength=2)


@pytest.mark.parametrize("row", ROWS, ids=range(len(ROWS)))
def test_both_engines_make_the_same_files(row: Comparison, template: Path, tmp_path: Path) -> None:
    found = compare(row, template, tmp_path)
    assert not found, f"{row.name}:\n" + "\n".join(found)


def test_a_difference_in_bytes_modes_or_files_is_noticed(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
        for name in ("bytes", "mode"):
            (folder / name).write_text("the same")
        (folder / ".copier-answers.yml").write_text('example: true\nname: "x"\n')
    assert not list(differences(one, other))
    (one / "bytes").write_text("not the same")
    (one / "mode").chmod(0o600)
    (other / "mode").chmod(0o644)
    (one / "more").touch()
    (other / ".copier-answers.yml").write_text("name: x\nexample: 'true'\n")
    assert list(differences(one, other)) == [
        "more: only cookiecutter makes it",
        ".copier-answers.yml: example is True by cookiecutter, 'true' by copier",
        "bytes: the bytes differ",
        "mode: the modes differ",
    ]
