"""What is never handed on: weights, outputs and curves of cells that saw private images lie apart from the others.

They are under `private/`, where nobody but the owner can look; what collects a folder's results takes `cells/`.
"""

from __future__ import annotations

from pathlib import Path

from kdharness.results.files import writing
from kdharness.results.paths import CellFiles

OWNER_ALONE = 0o700


def shelter(files: CellFiles) -> None:
    """Gives the cell its place there; what it has elsewhere, of an earlier release, is moved. UserError where it cannot
    be written.
    """
    outside = [path for path in files.sensitive if path.exists() and path.parent != files.shelter]
    with writing(files.shelter):
        for folder in (files.shelter.parent, files.shelter):
            own(folder)
        for path in outside:
            path.replace(files.shelter / path.name)


def own(folder: Path) -> None:
    """Makes the folder, or takes one that is there, for the owner alone."""
    folder.mkdir(mode=OWNER_ALONE, parents=True, exist_ok=True)
    if folder.stat().st_mode & 0o777 != OWNER_ALONE:
        folder.chmod(OWNER_ALONE)
