"""From paths to results."""

from __future__ import annotations

from pathlib import Path

from kdharness.errors import UserError
from kdharness.frames.results import Results, say
from kdharness.results.finding import find_folders, load_all


def load(*paths: Path | str) -> Results:
    """The results at the paths: benchmarks' folders, results roots, folders with a results.csv. It loads no torch.

    A folder that is at work or half done is read as it is now. UserError where there is nothing to read; files and
    folders that cannot be used beside others that can are warned of, as Python warns.
    """
    if not paths:
        raise UserError("kdharness.load: no folder is given")
    found = [folder for path in paths for folder in find_folders(path, say)]
    once = {folder.path.resolve(): folder for folder in found}  # a folder named twice counts once
    return Results(tuple(load_all(once.values(), say)))
