"""Whether a disk takes no more, whoever notices it."""

from __future__ import annotations

import errno
import re

from kdharness.failures import links, message_of

NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
CANNOT_WRITE = {*NO_ROOM, errno.EROFS}

# What libraries make of it: safetensors and torch raise errors of their own, NumPy one without a number.
SIGNS = re.compile(
    r"No space left on device|Disk quota exceeded|File too large|PytorchStreamWriter failed writing|unexpected pos \d+"
    r"|\d+ requested and \d+ written"
)


def no_room(error: BaseException | None) -> bool:
    """Whether an error came from a disk, a quota or a limit on files that is full."""
    return any(_says_so(link) for link in links(error))


def cannot_write(error: BaseException | None) -> bool:
    """Whether nothing can be written: no room, or none that this process may use."""
    read_only = (isinstance(link, OSError) and link.errno in CANNOT_WRITE for link in links(error))
    return any(read_only) or no_room(error)


def _says_so(error: BaseException) -> bool:
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno in NO_ROOM
    # A class alone tells nothing: libraries written in other languages have their own.
    return isinstance(error, Exception) and SIGNS.search(message_of(error)) is not None
