"""Writing files so that a reader never sees half of one."""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from kdharness.disk import no_room
from kdharness.errors import UserError
from kdharness.failures import one_line

Content = str | bytes | Callable[[IO[bytes]], object]


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns what the operating system refuses (read-only folder, full disk) into one line for the user."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and not no_room(error):
            raise
        reason = (error.strerror if isinstance(error, OSError) else "") or one_line(error)
        raise UserError(f"could not write {path}: {reason}; the cells that were finished before are kept") from error


def write_atomic(path: Path, content: Content) -> None:
    """Puts the whole content at `path`, or leaves what was there. UserError when it cannot be written.

    content: text, bytes, or a function that writes to the open file.

    The temporary file lies beside the target, for a rename is atomic within one file system only. Its name is unique:
    two processes never share one. It starts with a dot and ends in .tmp: no reader takes it for a result.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("wb") as file:
                if isinstance(content, str):
                    # A plugin's message may hold what UTF-8 cannot encode.
                    file.write(content.encode("utf-8", errors="backslashreplace"))
                elif isinstance(content, bytes):
                    file.write(content)
                else:
                    content(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise


def dumps(data: Mapping[str, Any]) -> str:
    """JSON of plain data and of numbers as arrays hold them. A number that is not finite is left out of its mapping."""
    return json.dumps(_finite(data), default=lambda number: number.item(), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _finite(v) for k, v in value.items() if not _is_wild(v)}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value if not _is_wild(v)]
    return value


def _is_wild(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
