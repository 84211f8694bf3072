"""What --rerun asks for. Loads nothing: the command line's help knows it."""

from __future__ import annotations

from enum import StrEnum


class Rerun(StrEnum):
    """Which finished cells are run again."""

    FAILED = "failed"
    ALL = "all"
