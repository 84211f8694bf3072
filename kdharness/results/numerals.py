"""Numbers as people write them into tables, and what they may have meant."""

from __future__ import annotations

import math
import re

# Of ASCII: Python reads more, such as 1_000 and digits of other scripts.
NUMERAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf", re.ASCII)
GROUPED = re.compile(r"[+-]?\d{1,3}(?:([, '_.\u00a0\u202f\u2019])\d{3})(?:\1\d{3})*", re.ASCII)
DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


def number_of(text: str) -> float | None:
    """None for what is no number, NaN too."""
    return float(text) if NUMERAL.fullmatch(text) else None


def meant_by(text: str) -> str:
    """'; did you mean 1.5?' of '1,5'; "" where nobody knows."""
    found = []
    if DECIMAL_COMMA.fullmatch(text):
        found.append(text.replace(",", "."))
    if GROUPED.fullmatch(text):
        found.append(re.sub(r"[^\d+-]", "", text))
    stripped = text.strip().removesuffix("%").strip()
    if not found and stripped != text and (number := number_of(stripped)) is not None and math.isfinite(number):
        found.append(stripped)
    return f"; did you mean {' or '.join(found)}?" if found else ""
