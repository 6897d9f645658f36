"""Tables as LaTeX: booktabs, one `longtable` each, in a document that any engine compiles. Texts stay literal."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from rmtbench.analysis.recorded import Facts
from rmtbench.report.tables import Table

PREAMBLE = r"""% Columns line up from the third pass on: run pdflatex three times, or latexmk -pdf.
\documentclass{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage[a4paper,landscape,margin=15mm]{geometry}
\usepackage{array,booktabs,longtable,textcomp}
\setlength{\tabcolsep}{3.5pt}
\setlength{\parindent}{0pt}
\begin{document}
\small"""

_SPECIAL = {
    "\\": r"\textbackslash{}",
    # At a row's head these would be taken for an argument of the line end before it.
    "[": "{[}",
    "*": "{*}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_\allowbreak{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"\textquotesingle{}",
    "`": r"\textasciigrave{}",
    "-": "-{}",  # two of them would become a dash
    "–": "--",
    "—": "---",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "µ": r"\textmu{}",
    "†": r"\dag{}",
    "‡": r"\ddag{}",
    "§": r"\S{}",
    "★": r"$\star$",
    "…": r"\ldots{}",
}


def escape(text: str) -> str:
    """A text as LaTeX prints it literally on one line.

    Accented Latin letters stay; a character that the standard fonts lack becomes its number, such as ``[U+4E2D]``.

    Args:
        text: Any text.
    """
    return "".join(_sign(sign) for sign in re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)))


def table(shown: Table) -> str:
    """A table with its title as caption, what its figures are above it, and its notes below.

    Args:
        shown: The table; figures are set to the right.
    """
    columns = "l" * shown.labels + "r" * (len(shown.columns) - shown.labels)
    head = _line(shown.columns)
    lines = [
        rf"\begin{{longtable}}{{@{{}}{columns}@{{}}}}",
        rf"\multicolumn{{{len(columns)}}}{{@{{}}l@{{}}}}{{\textbf{{{escape(shown.title)}}}}}\\",
        r"\toprule",
        head,
        r"\midrule",
        r"\endhead",
        *_rows(shown.rows),
        r"\bottomrule",
        r"\end{longtable}",
    ]
    notes = [escape(note) for note in (shown.caption, *shown.notes)]
    return "\n".join(lines) + "\n" + "\n\n".join(rf"{{\small {note}}}" for note in notes)


def document(chapters: Iterable[tuple[str, Facts, Sequence[Table]]]) -> str:
    """A whole document, a section a chapter.

    Args:
        chapters: Title, what produced the tables, and the tables.
    """
    blocks = [PREAMBLE]
    for title, facts, tables in chapters:
        blocks.append(rf"\section*{{{escape(title)}}}")
        # Hashes are long words: what breaks anywhere is set ragged.
        told = "; ".join(f"{escape(name)}: {escape(value)}" for name, value in facts)
        blocks.append(rf"{{\footnotesize\raggedright\sloppy {told}\par}}")
        blocks += [table(shown) for shown in tables]
    return "\n\n".join((*blocks, r"\end{document}")) + "\n"


def _rows(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows, with a thin rule where the first column's value changes and comes more than once."""
    firsts = [row[0] for row in rows]
    blocks = len(set(firsts)) < len(firsts)
    lines = []
    for place, row in enumerate(rows):
        if blocks and place and firsts[place - 1] != firsts[place]:
            lines.append(r"\addlinespace")
        lines.append(_line(row))
    return lines


def _line(cells: Sequence[str]) -> str:
    return " & ".join(escape(cell) for cell in cells) + r" \\"


def _sign(sign: str) -> str:
    if sign in _SPECIAL:
        return _SPECIAL[sign]
    # Latin-1 and Latin Extended-A letters are in the T1 fonts; control signs are in none.
    if " " <= sign <= "~" or ("\u00c0" <= sign <= "\u017f" and unicodedata.category(sign).startswith("L")):
        return sign
    return f"{{[}}U+{ord(sign):04X}]"
