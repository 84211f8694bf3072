"""From paths to results."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from pathlib import Path

from kdharness.errors import UserError
from kdharness.frames.results import Results, say
from kdharness.results.bundles.unpacking import looks_like_bundle, unpack_sound
from kdharness.results.finding import find_folders, load_all


def load(*paths: Path | str) -> Results:
    """The results at the paths: benchmarks' folders, results roots, folders with a results.csv, bundles. It loads no
    torch.

    A folder that is at work or half done is read as it is now. A bundle is unpacked, and its files last as long as what
    is returned. UserError where there is nothing to read, and for a bundle whose files are not as it says; files and
    folders that cannot be used beside others that can are warned of, as Python warns.
    """
    if not paths:
        raise UserError("kdharness.load: no folder is given")
    named = [Path(path) for path in paths]
    folder = Path(tempfile.mkdtemp(prefix="kdharness-")) if any(map(looks_like_bundle, named)) else None
    try:
        results = _loaded(named, folder)
    except BaseException:
        _remove(folder)
        raise
    if folder is not None:
        weakref.finalize(results, _remove, folder)
    return results


def _loaded(paths: list[Path], unpacked: Path | None) -> Results:
    """unpacked: a folder for what bundles hold."""
    found = []
    for place, path in enumerate(paths):
        if unpacked is not None and looks_like_bundle(path):
            into = unpacked / str(place)
            into.mkdir()
            unpack_sound(path, into)
            found += find_folders(into, say, path)
        else:
            found += find_folders(path, say)
    once = {folder.path.resolve(): folder for folder in found}  # a folder named twice counts once
    return Results(tuple(load_all(once.values(), say)))


def _remove(folder: Path | None) -> None:
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)
