"""Temporary files of processes that died while they wrote."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from kdharness.results.paths import PRIVATE
from kdharness.results.processes import is_alive

# As `write_atomic` names them: the process' number stands before a random part.
TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<pid>\d+)\.[0-9a-f]{8}\.tmp")

# A process number is given again and again; no write takes so long.
OLD_SECONDS = 24 * 3600


def sweep(folder: Path) -> int:
    """Removes them from a benchmark's folder, and says how many there were. The caller holds the folder's lock."""
    swept = 0
    for path in _temporaries(folder):
        with suppress(OSError):  # somebody else's, or gone by now
            if _left_behind(path):
                path.unlink()
                swept += 1
    return swept


def _temporaries(folder: Path) -> Iterator[Path]:
    """In the folder, and in those of plans and cells."""
    for pattern in (".*.tmp", "plans/.*.tmp", "cells/*/.*.tmp", f"{PRIVATE}/*/.*.tmp", f"{PRIVATE}/audit/*/.*.tmp"):
        yield from folder.glob(pattern)


def _left_behind(path: Path) -> bool:
    named = TEMPORARY.fullmatch(path.name)
    if named is None:
        return False
    if time.time() - path.stat().st_mtime > OLD_SECONDS:
        return True
    pid = int(named["pid"])
    return pid == os.getpid() or not is_alive(pid)
