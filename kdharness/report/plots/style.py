"""How all figures look in print: letters of 8 points and more, colours that are told apart by everybody and in grey."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
from matplotlib.font_manager import get_font_names

from kdharness.text import printable

# Okabe and Ito 2008; lines differ in their dashes and markers as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", "-", "--")
MARKERS = ("o", "s", "^", "D", "v", "P")
ACCENT, CONTRAST, GREY, PALE = COLOURS[0], COLOURS[1], "#7a7a7a", "#c4c4c4"
FONT_SIZE, SMALL = 9, 8
MOST_LETTERS, TITLE_WIDTH = 34, 80
# Have letters that matplotlib's own font lacks.
FURTHER_FONTS = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans CJK KR", "WenQuanYi Zen Hei", "Unifont")


@contextmanager
def in_style(salt: str) -> Iterator[None]:
    """salt: what identifiers in SVG files are made from. Nothing in names is taken for a formula."""
    known = get_font_names()
    settings: dict[str, Any] = {
        "font.family": ["DejaVu Sans", *(name for name in FURTHER_FONTS if name in known)], "font.size": FONT_SIZE,
        "axes.titlesize": FONT_SIZE, "axes.labelsize": FONT_SIZE, "xtick.labelsize": SMALL, "ytick.labelsize": SMALL,
        "legend.fontsize": SMALL, "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False,
        "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e6e6e6", "grid.linewidth": 0.6,
        "lines.linewidth": 1.4, "text.usetex": False, "text.parse_math": False, "svg.hashsalt": salt,
    }  # fmt: skip
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box, which says it all
        yield


def name_of(name: str) -> str:
    """Printable and not too long."""
    text = printable(name)
    return text if len(text) <= MOST_LETTERS else f"{text[: MOST_LETTERS - 1]}…"


def title_of(title: str, deviations: str) -> str:
    """On lines that a figure holds; of what deviates, with how."""
    said = (title, f"deviates from the benchmark: {deviations}" if deviations else "")
    return "\n".join(line for text in said for line in textwrap.wrap(printable(text), TITLE_WIDTH))


def robust_span(values: Sequence[float], halves: Sequence[float]) -> tuple[float, float]:
    """Ends of an axis that show every value and usual intervals whole: a single wild interval would press the others
    to a line. Whatever is wider runs to the edge.
    """
    known = sorted(half for half in halves if half == half)
    usual = 2 * known[len(known) // 2] if known else 0.0
    low, high = min(values), max(values)
    room = max(usual, 0.06 * (high - low), 1e-6)
    return low - room, high + room
