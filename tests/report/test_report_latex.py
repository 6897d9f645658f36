"""Tables as LaTeX: every text literal, every row whole; compiled where an engine is installed."""

import re
import shutil
import subprocess

import pytest
from golden_runs import make_golden_runs

from rmtbench.report.latex import document, escape, table
from rmtbench.report.tables import Table
from rmtbench.report.write import write_report

HOSTILE = r"\input{/etc/passwd} $x$ & #1 100% a_b ~ ^ {} <b> | ± † ‡ § ★ – é 中 " + "\u202e\x00"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a_b & 5%", r"a\_\allowbreak{}b \& 5\%"),
        (r"\input{x}", r"\textbackslash{}input\{x\}"),
        ("0.5† ±.1 ‡", r"0.5\dag{} $\pm$.1 \ddag{}"),
        ("a\nb  c", "a b c"),
        ("--json", "-{}-{}json"),
        ("café", "café"),
        ("中\x00", "{[}U+4E2D]{[}U+0000]"),
        ("[2pt] * 3", "{[}2pt] {*} 3"),
    ],
)
def test_latex_prints_every_text_literally(text, escaped):
    assert escape(text) == escaped


def cells(line):
    return re.split(r"(?<!\\) & ", line.removesuffix(r" \\"))


def test_a_hostile_text_stays_in_its_cell():
    made = table(Table("Title & more", "caption", ("one", "two"), ((HOSTILE, "1"), ("x", "2")), labels=1))
    rows = [line for line in made.splitlines() if line.endswith(r" \\")]
    assert [len(cells(row)) for row in rows] == [2, 2, 2]
    assert r"\input" not in made
    assert made.count("longtable}{@{}lr@{}}") == 1


def test_report_tables_are_booktabs_with_all_cells(tmp_path):
    make_golden_runs(tmp_path)
    text = (write_report(tmp_path, quick=True).folder / "report.tex").read_text()
    for name in ("longtable", "document"):
        assert text.count(rf"\begin{{{name}}}") == text.count(rf"\end{{{name}}}") > 0
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == text.count(r"\begin{longtable}")
    blocks = re.findall(r"\\begin\{longtable\}\{@\{\}(l*)(r*)@\{\}\}\n(.*?)\\end\{longtable\}", text, re.DOTALL)
    for words, figures, body in blocks:
        rows = [line for line in body.splitlines()[1:] if line.endswith(r" \\")]
        assert rows
        assert {len(cells(row)) for row in rows} == {len(words + figures)}
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", text):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX engine here")
def test_the_document_compiles(tmp_path):
    shown = Table("Title", HOSTILE, ("one", "two"), ((HOSTILE, "1"),), labels=1, notes=(HOSTILE,))
    (tmp_path / "report.tex").write_text(document([("Chapter", (("name", HOSTILE),), (shown,))]))
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "report.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
