"""How often each epoch of a cell was begun, written down before it is: what was released is counted even if the process
that released it was killed a moment later.
"""

from __future__ import annotations

import json
from pathlib import Path

from kdharness.errors import CellError
from kdharness.results.files import dumps, write_atomic


def begin_epoch(path: Path, epoch: int) -> int:
    """How often an epoch (counted from 0) was begun, now included; on disk when this returns.

    CellError where the file is there and says nothing: a smaller number than the true one would be a promise broken.
    """
    counts = _read(path)
    counts[str(epoch)] = counts.get(str(epoch), 0) + 1
    write_atomic(path, dumps(counts))
    return counts[str(epoch)]


def _read(path: Path) -> dict[str, int]:
    try:
        counts: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
        if all(epoch.isdigit() and type(count) is int and count > 0 for epoch, count in counts.items()):
            return counts
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError):
        pass
    raise CellError("ReleasesUnknown", f"{path} cannot be read: how often epochs were begun before is not known")
