"""Files that users name, before anything is read of them: a device has no end, and a pipe may never begin."""

from __future__ import annotations

import os
import stat
import zipfile
from io import BufferedReader
from pathlib import Path


def open_plain(path: Path | str, most_bytes: int | None = None) -> BufferedReader:
    """The file, open for reading. OSError, whose strerror says why, for one that is none or that is larger."""
    file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115 - the caller closes it
    about = os.fstat(file.fileno())
    reason = "" if stat.S_ISREG(about.st_mode) else "it is no plain file"
    if not reason and most_bytes is not None and about.st_size > most_bytes:
        most = f"{most_bytes // 2**10} KiB" if most_bytes < 2**20 else f"{most_bytes // 2**20} MiB"
        reason = f"it is larger than {most}"
    if reason:
        file.close()
        raise OSError(None, reason)
    return file


def _without_waiting(path: str, flags: int) -> int:
    """Opens it. A pipe without a writer would hold up its reader for ever."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def unpacked_bytes(path: Path) -> int:
    """What a file takes once it is unpacked: as much as it is large, where it is no archive."""
    if not zipfile.is_zipfile(path):
        return path.stat().st_size
    with zipfile.ZipFile(path) as archive:
        return sum(member.file_size for member in archive.infolist())
