"""How wide text is in TeX's own fonts, about and rather too wide: without a TeX nobody can measure it."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from enum import Enum

# The text of a plain article at 10 pt, less a little for other fonts; and a column of one in two columns.
PAGE_WIDTH, COLUMN_WIDTH = 335.0, 222.0
PAGE_HEIGHT = 520.0
# Of a letter, as shares of the size.
_SHARES = {
    "ijl.,:;'|!": 0.28, "frst()[]-/ {}": 0.4, "0123456789aceogz": 0.5,
    "mMW%@=+<>±·~\N{MULTIPLICATION SIGN}": 0.85, "w&": 0.78,
}  # fmt: skip
_SHARE_OF = {letter: share for letters, share in _SHARES.items() for letter in letters}
CAPITAL, WIDE, USUAL = 0.75, 1.0, 0.556
BOLD = 1.15


class Size(Enum):
    """A command, the size of its letters (small fonts of TeX are wider than their names say) and lines, in points."""

    NORMAL = (r"\normalsize", 10.0, 12.0)
    FOOTNOTE = (r"\footnotesize", 8.5, 9.5)
    SCRIPT = (r"\scriptsize", 8.0, 8.0)

    @property
    def command(self) -> str:
        return self.value[0]

    @property
    def letters(self) -> float:
        return self.value[1]

    @property
    def line(self) -> float:
        return self.value[2]

    @property
    def smaller(self) -> Size:
        """For what stands behind a number."""
        return Size.FOOTNOTE if self is Size.NORMAL else Size.SCRIPT


def text_width(text: str, size: Size) -> float:
    """In points."""
    return size.letters * sum(map(_share, text))


def _share(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0.0
    if letter in _SHARE_OF:
        return _SHARE_OF[letter]
    if unicodedata.east_asian_width(letter) in "WF":
        return WIDE
    return CAPITAL if letter.isupper() else USUAL


def height_of(paragraphs: Iterable[str], size: Size, room: float) -> float:
    """Of lines as wide as this room, in points."""
    return size.line * sum(1 + int(text_width(text, size) / room) for text in paragraphs)


def stacked(words: Sequence[str], room: float, size: Size, between: str = " ") -> tuple[str, ...]:
    """Words on as many lines as they need in this room, which is as wide as the widest of them at least."""
    room = max([room, *(text_width(word, size) for word in words)])
    lines: list[str] = []
    for word in words:
        longer = f"{lines[-1]}{between}{word}" if lines else word
        if lines and text_width(longer, size) <= room:
            lines[-1] = longer
        else:
            lines.append(word)
    return tuple(lines)
