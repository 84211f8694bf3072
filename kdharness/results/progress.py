"""What a run says about itself while it works (progress.json), and whether it still does."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kdharness.results.files import dumps, write_atomic
from kdharness.text import duration, now, timestamp

# A run on another machine counts as alive while it reports at least this often.
SILENCE_SECONDS = 120


class ProgressFile:
    """progress.json of one folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, progress: Mapping[str, Any]) -> None:
        """Adds updated_at, pid and host where they are missing. Atomic.

        Further keys: done, total, images_per_second, seconds_left, and running, a list of
        {"cells": [key], "stepping": key, "label": str, "epoch": int, "epochs": int}.
        """
        whose = {"updated_at": timestamp(), "pid": os.getpid(), "host": platform.node()}
        write_atomic(self.path, dumps({**whose, **progress}))

    def read(self) -> dict[str, Any] | None:
        """What was written; None when there is nothing, or nothing that can be read."""
        try:
            data = json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    def running(self) -> dict[str, Any] | None:
        """The progress of the run that is at work on this folder now, None when none is."""
        progress = self.read()
        return progress if progress is not None and running_elsewhere(progress) else None

    def remove(self) -> None:
        """When the run has ended."""
        self.path.unlink(missing_ok=True)


def running_elsewhere(progress: Mapping[str, Any]) -> bool:
    """Whether the run that wrote this is still at work."""
    if progress.get("host", platform.node()) != platform.node():
        return silence_seconds(progress) < SILENCE_SECONDS
    return _alive(progress.get("pid"))


def silence_seconds(progress: Mapping[str, Any]) -> float:
    """Seconds since the run last said something; infinite when it never did."""
    try:
        updated = datetime.fromisoformat(str(progress.get("updated_at")))
    except ValueError:
        return float("inf")
    return (now() - updated.replace(tzinfo=updated.tzinfo or UTC)).total_seconds()


def describe(progress: Mapping[str, Any] | None) -> str:
    """Names the run that holds the folder."""
    if progress is None or "pid" not in progress:
        return "another run"
    host = progress.get("host", platform.node())
    return f"another run (process {progress['pid']}{'' if host == platform.node() else f' on {host}'})"


def _alive(pid: object) -> bool:
    if not isinstance(pid, int) or pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True  # somebody else's process
    except (OSError, OverflowError):
        return False
    return True


def summary_line(progress: Mapping[str, Any]) -> str:
    """'12 of 40 cells done · 3100 images/s · about 5 min left'."""
    parts = []
    if "done" in progress and "total" in progress:
        parts.append(f"{progress['done']} of {progress['total']} cells done")
    if progress.get("images_per_second"):
        parts.append(f"{progress['images_per_second']:.0f} images/s")
    if progress.get("seconds_left") is not None:
        parts.append(f"about {duration(progress['seconds_left'])} left")
    return " · ".join(parts) or "running"
