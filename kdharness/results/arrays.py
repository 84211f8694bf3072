"""Arrays that a folder keeps in .npz files, which others may have damaged."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kdharness.failures import one_line
from kdharness.plain_files import open_plain, unpacked_bytes

Arrays = dict[str, NDArray[Any]]

# No cell's logits come near it, and what unpacks to more would fill the memory.
MOST_BYTES = 2**34
_DAMAGED = (OSError, ValueError, TypeError, AttributeError, LookupError, EOFError, RuntimeError, MemoryError)


class UnreadableArrays(ValueError):
    """Why a file gives no arrays, in one line."""


def read_arrays(path: Path) -> Arrays:
    """All of them, by name. UnreadableArrays where there is no such file, or one that holds none or holds pickles."""
    try:
        with open_plain(path) as file:
            if unpacked_bytes(path) > MOST_BYTES:
                raise UnreadableArrays(f"it unpacks to more than {MOST_BYTES // 2**30} GiB")
            saved = np.load(file, allow_pickle=False)
            if not isinstance(saved, np.lib.npyio.NpzFile):
                raise UnreadableArrays("it is no .npz file")
            with saved:
                return {name: saved[name] for name in saved.files}
    except UnreadableArrays:
        raise
    except (*_DAMAGED, zipfile.BadZipFile, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise UnreadableArrays(reason or one_line(error)) from error
