"""A file of weights as users write it: FILE, or FILE#KEY for one of several state dicts in it."""

from __future__ import annotations

from pathlib import Path


def split_choice(text: str) -> tuple[Path, str]:
    """The file and the place within it, "" for none. A file that is called so is itself."""
    path, mark, place = text.rpartition("#")
    if not mark or Path(text).exists():
        return Path(text), ""
    return Path(path), place


def marked(digest: str, chosen: str) -> str:
    """What identifies a file's weights: its SHA-256, and which of its state dicts is meant where that is said."""
    return f"{digest}#{chosen}" if chosen else digest
