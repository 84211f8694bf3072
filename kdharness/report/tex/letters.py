"""Names as LaTeX: signs that are its own, where long ones may be broken, and letters that not every font has."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from kdharness.report.paper.caption import DAGGER
from kdharness.report.sections.folding import parts_of

SPECIAL = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "·": r"$\cdot$",
    "\N{MULTIPLICATION SIGN}": r"$\times$", "<": r"$<$", ">": r"$>$", "|": r"$|$", "`": r"\textasciigrave{}",
    DAGGER: r"$\dagger$", "…": r"\ldots{}", "\N{SUPERSCRIPT TWO}": "$^2$",
}  # fmt: skip
# Beyond these, fonts of the default encoding have nothing.
LAST_OF_LATIN = "\N{LATIN SMALL LETTER Y WITH DIAERESIS}"
LONGEST_WORD, LONGEST_PIECE = 16, 12  # letters that are not broken where a sign allows it, and where none does
SCRIPTS = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "GREEK", "CYRILLIC", "HEBREW", "ARABIC", "DEVANAGARI", "THAI")
_MINUS = re.compile(r"(?<!\S)-(?=\d)")

HEAD = r"""% Names hold letters beyond Latin ({scripts}): {letters}
% pdfLaTeX stops below where no package of the preamble brings them. LuaLaTeX sets them all with, in the preamble,
%   \usepackage{{fontspec}}
%   \directlua{{luaotfload.add_fallback("names", {{"DejaVu Sans:", "Noto Serif CJK SC:"}})}}
%   \setmainfont{{Latin Modern Roman}}[RawFeature={{fallback=names}}]
% or other fonts that have them. XeLaTeX takes one font (\setmainfont), and xeCJK for Chinese, Japanese and Korean. Both
% leave out what no font has: "Missing character" in the log. From right to left: \usepackage[bidi=basic]{{babel}}.
\begingroup
\def\letter#1#2{{\ifcsname u8:\detokenize{{#1}}\endcsname\else
  \errmessage{{kdharness: pdfLaTeX has no letter U+#2: use LuaLaTeX, as the head of this file says}}%
  \def\letter##1##2{{}}\fi}}
\ifdefined\Umathcode\def\letter#1#2{{}}\fi \ifcsname ver@CJKutf8.sty\endcsname\def\letter#1#2{{}}\fi
{checks}
\endgroup"""
MOST_LISTED = 40


def escape(text: str) -> str:
    """Of two hyphens LaTeX would make a dash; before a number it is a minus. Accents are joined to their letters, where
    there are such letters.
    """
    joined = unicodedata.normalize("NFC", text)
    return _MINUS.sub("$-$", "".join(SPECIAL.get(c, c) for c in joined).replace("--", "-{}-"))


def sentences(parts: Iterable[str]) -> str:
    """Each with its end, as text; empty ones are left out."""
    return " ".join(part if part.endswith((".", "?", "!")) else f"{part}." for part in parts if part)


def breakable(text: str) -> str:
    """Escaped; long words may be broken after signs, and very long ones anywhere."""
    return "".join(_broken(piece) for piece in re.split(r"(\s+)", text))


def _broken(word: str) -> str:
    if len(word) <= LONGEST_WORD and word.isascii():
        return escape(word)
    pieces = (part for piece in parts_of(word) for part in _parts(piece))
    return r"\allowbreak{}".join(escape(piece) for piece in pieces if piece)


def _parts(piece: str) -> Iterable[str]:
    """What is not ASCII may be broken after each letter that is wide: its scripts have no blanks."""
    if any(unicodedata.east_asian_width(c) in "WF" for c in piece):
        return re.findall(r"[\x00-\x7f]+|.", piece)
    return (piece[start : start + LONGEST_PIECE] for start in range(0, len(piece), LONGEST_PIECE))


def head_for(text: str) -> str:
    """What a file with such letters begins with; '' where every font has all of them. text: of the whole file."""
    foreign = sorted({c for c in text if c > LAST_OF_LATIN and not unicodedata.combining(c)})
    if not foreign:
        return ""
    checks = "\n".join(rf"\letter{{{c}}}{{{ord(c):04X}}}" for c in foreign)
    more = f" and {len(foreign) - MOST_LISTED} more" if len(foreign) > MOST_LISTED else ""
    letters = " ".join(foreign[:MOST_LISTED]) + more
    return HEAD.format(scripts=", ".join(dict.fromkeys(map(_script, foreign))), letters=letters, checks=checks)


def _script(letter: str) -> str:
    """'CJK', 'Greek'; 'other signs' for what belongs to none."""
    first = unicodedata.name(letter, "").partition(" ")[0]
    return (first if first == "CJK" else first.capitalize()) if first in SCRIPTS else "other signs"
