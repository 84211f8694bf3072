"""Where long names may be broken."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.cells import cell_len

_PARTS = re.compile(r"(?<=[\s,\[:/+])")
_BEFORE = re.compile(r"(?<=[\s,:/+])|(?=\[)")
_SMALLER = re.compile(r"(?<=[=_-])|(?<=\.)(?!\d)")


def parts_of(text: str) -> list[str]:
    """'kd[', 'a=0.5,', 'without=', 'ce]': words, and of names what ends with a sign."""
    return [piece for part in _PARTS.split(text) for piece in _SMALLER.split(part) if piece]


def folded(text: str, width: int) -> str:
    """On lines of this width, in cells of a terminal: broken between parameters, else after a sign of one.

    What is longer than a line all the same is left for whoever draws it.
    """
    lines = [""]
    for piece in _pieces(text, width):
        if lines[-1] and cell_len((lines[-1] + piece).rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _pieces(text: str, width: int) -> Iterator[str]:
    parts = list(filter(None, _PARTS.split(text)))
    if any(part.endswith("[") and cell_len(part) == width + 1 for part in parts):
        parts = list(filter(None, _BEFORE.split(text)))  # its bracket alone would begin the next line
    for part in parts:
        if cell_len(part.rstrip()) <= width:
            yield part
        else:
            yield from filter(None, _SMALLER.split(part))
