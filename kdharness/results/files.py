"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kdharness.errors import UserError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the operating system refuses (read-only folder, full disk) into one line for the user."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"could not write {path}: {reason}; the cells that were finished before are kept") from error


def write_atomic(path: Path, text: str) -> None:
    """Puts the whole text at `path`, or leaves what was there. UserError when it cannot be written.

    The temporary file lies beside the target, for a rename is atomic within one file system only. Its name is unique:
    two processes never share one. It starts with a dot and ends in .tmp: no reader takes it for a result.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                # A plugin's message may hold what UTF-8 cannot encode.
                file.write(text.encode("utf-8", errors="backslashreplace"))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def append(path: Path, text: str) -> None:
    """Adds the text in one write. UserError when it cannot be written."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab", buffering=0) as file:
            data = memoryview(text.encode("utf-8", errors="backslashreplace"))
            while data:
                data = data[file.write(data) or 0 :]
