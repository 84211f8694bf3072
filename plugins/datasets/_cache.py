"""The user's cache folder, where datasets keep what takes long to find out; KDHARNESS_CACHE names another."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO


def cache_folder(name: str) -> Path:
    """The folder of one kind of dataset, made where it is absent."""
    from platformdirs import user_cache_dir

    folder = Path(os.environ.get("KDHARNESS_CACHE") or user_cache_dir("kdharness")) / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def atomic(path: Path) -> Iterator[IO[bytes]]:
    """A file that appears under `path` when it is complete."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
