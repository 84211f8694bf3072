"""Which folders a command means, and the reading of all that can be read of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from kdharness.errors import UserError
from kdharness.results.bundles.unpacking import looks_like_bundle
from kdharness.results.contents import Contents
from kdharness.results.store import ResultsFolder, to_stderr

PARTS = ("plans", "cells")


def find_folders(
    path: Path | str, warn: Callable[[str], None] = to_stderr, named: Path | None = None
) -> list[ResultsFolder]:
    """The benchmark folders at `path`: itself, or those right below it. UserError when there is none.

    named: what somebody calls the path, where that is another one.

    A folder with a results.csv alone (somebody else's table) counts when it is named itself. One that the system does
    not show is warned of, and a UserError when it is named itself.
    """
    path = Path(path)
    if path.is_file() and path.name == "results.csv":
        path = path.parent
    try:
        if _holds_cells(path) or os.path.isfile(path / "results.csv"):
            return [ResultsFolder(path, warn)]
        below = list(_below(path, warn)) if os.path.isdir(path) else []
    except OSError as error:
        raise UserError(f"'{path}' is unreadable: {error.strerror}") from error
    if not below:
        raise UserError(_reason(path) if named is None else f"'{named}' holds no results")
    return [ResultsFolder(each, warn) for each in below]


def _reason(path: Path) -> str:
    """Why nothing is found there."""
    if looks_like_bundle(path):
        reads = f"'kdharness verify {path}' checks it, and kdharness.load reads it in Python"
        return f"'{path}' is a bundle, and no folder: {reads}; unzip it for other commands"
    if path.suffix == ".csv" and os.path.isfile(path):
        return f"'{path}' is a table of another name: put it into a folder of its own as results.csv, and name that"
    what = "holds no results" if os.path.exists(path) else "does not exist"
    if path.suffix in (".zip", ".csv"):  # no name of a folder that a run would make
        return f"'{path}' {what}"
    return f"'{path}' {what}; 'kdharness run --out {path}' makes some"


def load_all(folders: Iterable[ResultsFolder], warn: Callable[[str], None] = to_stderr) -> list[Contents]:
    """What the folders hold. One that cannot be read is warned of and left out; UserError when none can."""
    found: list[Contents] = []
    faults: list[UserError] = []
    for folder in folders:
        try:
            found.append(folder.load_kept())
        except UserError as error:
            faults.append(error)
    if faults and not found:
        raise faults[0]
    for fault in faults:
        warn(f"{fault}; this folder is left out")
    return found


def _below(path: Path, warn: Callable[[str], None]) -> Iterator[Path]:
    for each in sorted(path.iterdir()):
        try:
            if _holds_cells(each):
                yield each
        except OSError as error:
            warn(f"'{each}' is unreadable and left out: {error.strerror}")


def _holds_cells(path: Path) -> bool:
    """OSError where the system does not say."""
    return any(_is_folder(path / name) for name in PARTS)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:
        raise
    except (OSError, ValueError):  # a name too long, a link in a circle
        return False
