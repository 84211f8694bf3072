"""What a run says about itself while it works (progress.json), and whether it still does."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from kdharness.results.files import dumps, write_atomic
from kdharness.results.processes import is_alive, started
from kdharness.results.reading import JsonReader
from kdharness.text import duration, now, timestamp

# A run on another machine counts as alive while it reports at least this often.
SILENCE_SECONDS = 120


Count = Annotated[int, Field(ge=0, lt=2**63)]
Rate = Annotated[float, Field(ge=0, lt=1e15)]


class _Group(BaseModel):
    """What progress.json says of cells at work."""

    model_config = ConfigDict(strict=True)

    cells: list[str] = []
    stepping: str = ""
    label: str = ""
    epoch: Count = 0
    epochs: Count = 0


class _Progress(BaseModel):
    """The form of progress.json; what it holds beside these is nobody's concern."""

    model_config = ConfigDict(strict=True)

    updated_at: str = ""
    pid: Count = 0
    started: str = ""
    host: str = ""
    done: Count = 0
    total: Count = 0
    running: list[_Group] = []
    images_per_second: Rate | None = None
    seconds_left: Rate | None = None


class ProgressFile:
    """progress.json of one folder."""

    def __init__(self, path: Path, reader: JsonReader) -> None:
        self.path = path
        self._reader = reader

    def write(self, progress: Mapping[str, Any]) -> None:
        """Adds updated_at, pid, host and when that process started, where they are missing. Atomic.

        Further keys: done, total, images_per_second, seconds_left, and running, a list of
        {"cells": [key], "stepping": key, "label": str, "epoch": int, "epochs": int}.
        """
        pid = progress.get("pid", os.getpid())
        whose = {"updated_at": timestamp(), "pid": pid, "started": started(pid), "host": platform.node()}
        write_atomic(self.path, dumps({**whose, **progress}))

    def read(self) -> dict[str, Any] | None:
        """What was written; None when there is nothing, or nothing that can be read (a warning)."""
        return self._reader.read(self.path, _checked, ())

    def running(self) -> dict[str, Any] | None:
        """The progress of the run that is at work on this folder now, None when none is."""
        progress = self.read()
        return progress if progress is not None and running_elsewhere(progress) else None

    def remove(self) -> None:
        """When the run has ended."""
        self.path.unlink(missing_ok=True)


def _checked(data: Mapping[str, Any]) -> dict[str, Any]:
    """ValueError for what is of another form."""
    _Progress.model_validate(data)
    return dict(data)


def running_elsewhere(progress: Mapping[str, Any]) -> bool:
    """Whether the run that wrote this is still at work."""
    if progress.get("host", platform.node()) != platform.node():
        return _is_heard(progress)
    pid, since = progress.get("pid", 0), progress.get("started", "")
    if not is_alive(pid):
        return False
    return started(pid) == since if since else _is_heard(progress)


def _is_heard(progress: Mapping[str, Any]) -> bool:
    """Whether it spoke a short while ago: a moment that is far ahead was not written by a clock."""
    return abs(silence_seconds(progress)) < SILENCE_SECONDS


def silence_seconds(progress: Mapping[str, Any]) -> float:
    """Seconds since the run last said something; infinite when it never did."""
    try:
        updated = datetime.fromisoformat(str(progress.get("updated_at")))
        return (now() - updated.replace(tzinfo=updated.tzinfo or UTC)).total_seconds()
    except (ValueError, OverflowError):
        return float("inf")


def describe(progress: Mapping[str, Any] | None) -> str:
    """Names the run that holds the folder."""
    if progress is None or "pid" not in progress:
        return "another run"
    host = progress.get("host", platform.node())
    return f"another run (process {progress['pid']}{'' if host == platform.node() else f' on {host}'})"


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
