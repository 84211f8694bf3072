"""Tables that float, and their labels."""

from __future__ import annotations

import re
from collections.abc import Iterable

from kdharness.report.tex.letters import breakable, sentences
from kdharness.report.tex.widths import COLUMN_WIDTH, Size


def floating(
    caption: str, label: str, tabular: Iterable[str], size: Size, width: float, separation: float, below: str = ""
) -> str:
    """A table, over both columns of a page where it is wider than one.

    caption: as LaTeX. width: of the table, in points. separation: left and right of each column, in points.
    below: what stands under it, as LaTeX.
    """
    kind = "table" if width <= COLUMN_WIDTH else "table*"
    lines = [
        rf"\begin{{{kind}}}", r"\centering", r"\emergencystretch=3em", rf"\caption{{{caption}}}", rf"\label{{{label}}}",
        r"\par\smallskip", rf"{size.command}\setlength{{\tabcolsep}}{{{separation:g}pt}}", *tabular,
        *([below] if below else []), rf"\end{{{kind}}}",
    ]  # fmt: skip
    return "\n".join(lines)


def continued(title: str, first: str) -> str:
    """The caption of a table that goes on with another. first: the label of that one."""
    return rf"{breakable(sentences([title]))} Continues Table~\ref{{{first}}}."


def label_of(text: str, labels: dict[str, int]) -> str:
    """'tab:digits-few100': ASCII, and another for each table of a document. labels: how often each was given."""
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "table"
    labels[name] = labels.get(name, 0) + 1
    return f"tab:{name}" if labels[name] == 1 else f"tab:{name}--{labels[name]}"


def line(cells: Iterable[str]) -> str:
    """A row."""
    text = " & ".join(cells)
    # After the end of the row before, these would be taken as its argument.
    return rf"{'{}' if text.startswith(('[', '*')) else ''}{text} \\"


def stack(lines: Iterable[str], side: str) -> str:
    """Lines in one cell, each as LaTeX. side: 'l', 'c' or 'r'."""
    each = list(lines)
    return each[0] if len(each) == 1 else rf"\shortstack[{side}]{{" + r"\\".join(each) + "}"


def paragraph(text: str, share: float) -> str:
    """A cell as wide as this share of the line. text: as LaTeX."""
    return rf"\parbox[t]{{{share:.3f}\linewidth}}{{\raggedright\hangindent=1em {text}\strut}}"
