"""The columns of plugins that a command shows or writes beside a leaderboard."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kdharness.results.contents import Contents
    from kdharness.stats.plugin_columns import PluginColumns


def columns_of_plugins(files: Sequence[Path]) -> PluginColumns:
    """Of all that are installed, and of files. Warnings go to stderr."""
    from kdharness.registry.manager import Registry
    from kdharness.results.store import to_stderr

    registry = Registry.load(files)
    for warning in registry.warnings:
        to_stderr(warning)
    return registry.known("leaderboard_column")


def columns_shown(found: Iterable[Contents], files: Sequence[Path]) -> PluginColumns:
    """Where files are named, or the leaderboard of a folder has such columns. Else plugins are not loaded: they bring
    torch.
    """
    from kdharness.stats.board import NONE

    is_asked = bool(files) or any(_has_columns(contents.tables.leaderboard) for contents in found)
    return columns_of_plugins(files) if is_asked else NONE


def _has_columns(board: Path) -> bool:
    """Whether a leaderboard.csv has columns beside those of every leaderboard."""
    try:
        with board.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            header = next(csv.reader(file), [])
    except (OSError, csv.Error):
        return False
    return any(name.startswith("x_") for name in header)
