"""Whether a process of this machine still is the one that it was: its number may belong to another one by now."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

# Of /proc/<pid>/stat after the name in parentheses: the moment of its start, in ticks since the machine's.
_START = 19


def started(pid: int) -> str:
    """When a process started, in a form that no other process of its number has; '' where the system does not say.

    Linux tells it in /proc.
    """
    with suppress(OSError, IndexError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        about = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return f"{boot}:{about[_START]}"
    return ""


def is_alive(pid: int) -> bool:
    """Whether some process has this number."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # somebody else's process
    except (OSError, OverflowError):
        return False
    return True
