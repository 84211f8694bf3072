"""Text in CSV files that a spreadsheet would take for a formula."""

from __future__ import annotations

MARK = "'"
BEGINNINGS = ("=", "+", "-", "@", "\t", "\r")


def guard(text: str) -> str:
    """With an apostrophe before what begins a formula, as spreadsheets write text themselves."""
    return f"{MARK}{text}" if text.startswith(BEGINNINGS) else text


def unguarded(text: str) -> str:
    """What was guarded."""
    return text[1:] if text.startswith(MARK) and text[1:].startswith(BEGINNINGS) else text
