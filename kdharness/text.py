"""Small pieces of text that several rooms read or write: lists of words, ranges of seeds, moments, durations."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.console import Console, RenderableType


def printable(text: str) -> str:
    """On one line, blanks for what a terminal, a CSV file or a page would take as control: names and messages from
    outside are data.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def plain(text: str) -> str:
    """Printable, with single spaces."""
    return " ".join(printable(text).split())


def is_name(text: str) -> bool:
    """Whether it may name things that people type and files are called by: letters, digits and '-', '_', '.', '+' and
    spaces between them, not too many.
    """
    inside = all(c.isalnum() or c in "-_.+ " for c in text)
    return inside and 0 < len(text) <= 100 and text[0].isalnum() and text[-1] not in ". "


def is_reference(text: str) -> bool:
    """Whether it may be what something installed is called: a name, or "package/name"."""
    return all(map(is_name, text.split("/"))) and text.count("/") <= 1


def words(text: str) -> tuple[str, ...]:
    """("a", "b") of "a, b"; empty parts do not count."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


# What joins the names of methods that are trained as one.
JOIN = "+"


def joined(text: str) -> tuple[str, ...]:
    """("crd", "kd") of "crd+kd"; of one name, that alone."""
    return tuple(part.strip() for part in text.split(JOIN))


def seeds_text(seeds: Iterable[int]) -> str:
    """'0-2,5' for 0, 1, 2, 5; each seed once, in order."""
    runs: list[list[int]] = []
    for seed in sorted({int(seed) for seed in seeds}):
        if runs and seed == runs[-1][1] + 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def now() -> datetime:
    """This moment, in UTC."""
    return datetime.now(UTC)


def timestamp(timespec: Literal["seconds", "microseconds"] = "seconds") -> str:
    """This moment as files hold it: ISO 8601 in UTC, '2025-01-31T12:00:00Z'."""
    return now().isoformat(timespec=timespec).replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """In two units at most: '45 s', '12 min', '3 h 20 min', '2 d 4 h'."""
    seconds = round(seconds)
    if seconds < 90:
        return f"{seconds} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(minutes / 60)
    return f"{hours // 24} d {hours % 24} h"


def put(console: Console, *parts: RenderableType) -> None:
    """Prints them; to what is no terminal, without blanks at the ends of lines."""
    if console.is_terminal:
        for part in parts:
            console.print(part)
        return
    with console.capture() as shown:
        for part in parts:
            console.print(part)
    console.file.write("".join(f"{line.rstrip()}\n" for line in shown.get().splitlines()))
