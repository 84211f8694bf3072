"""Pieces of drawings. Every text is escaped."""

from __future__ import annotations

from collections.abc import Iterable

from markupsafe import Markup

from kdharness.report.sections.folding import parts_of

ACCENT, LINE, BAD, DIM = "var(--accent)", "var(--line)", "var(--bad)", "var(--dim)"
# A letter is about so wide in a drawing's type.
LETTER_WIDTH, MOST_LETTERS = 6.6, 60


def element(width: float, height: float, label: str, parts: Iterable[Markup], kind: str = "") -> Markup:
    """label: what it shows, for those who do not see it."""
    about = Markup('class="{}"').format(kind) if kind else Markup('style="--natural: {}"').format(width)
    start = Markup('<svg {} viewBox="0 0 {} {}" width="{}" role="img" aria-label="{}">').format(
        about, width, height, width, label
    )
    return Markup("\n").join([start, *parts, Markup("</svg>")])


def line(x1: float, x2: float, y1: float, y2: float, stroke: str = "", kind: str = "") -> Markup:
    style = Markup('class="{}"').format(kind) if kind else Markup('stroke="{}"').format(stroke)
    return Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" {}/>').format(x1, x2, y1, y2, style)


def path_of(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    corners = " ".join(f"{x:g},{y:g}" for x, y in points)
    return Markup('<polyline points="{}" class="{}"/>').format(corners, kind)


def area_of(points: Iterable[tuple[float, float]], kind: str) -> Markup:
    corners = " ".join(f"{x:g},{y:g}" for x, y in points)
    return Markup('<polygon points="{}" class="{}"/>').format(corners, kind)


def dot(x: float, y: float, fill: str, tooltip: str = "", radius: float = 4) -> Markup:
    if tooltip:
        title = Markup("<title>{}</title>").format(tooltip)
        return Markup('<circle cx="{}" cy="{}" r="{}" fill="{}">{}</circle>').format(x, y, radius, fill, title)
    return Markup('<circle cx="{}" cy="{}" r="{}" fill="{}"/>').format(x, y, radius, fill)


def text_at(x: float, y: float, text: str, anchor: str = "", kind: str = "", tooltip: str = "") -> Markup:
    about = Markup(' class="{}"').format(kind) if kind else ""
    where = Markup(' text-anchor="{}"').format(anchor) if anchor else ""
    title = Markup("\n<title>{}</title>").format(tooltip) if tooltip else ""
    return Markup('<text{} x="{}" y="{}"{}>{}{}</text>').format(about, x, y, where, text, title)


def breakable(text: str) -> Markup:
    """Words that are names may be broken where they are in a terminal."""
    words = (Markup("<wbr>").join(parts_of(word)) for word in text.split(" "))
    return Markup(" ").join(words)


def shortened(name: str, most: int = MOST_LETTERS) -> str:
    """A longer one ends in an ellipsis."""
    return name if len(name) <= most else name[: most - 1] + "…"
