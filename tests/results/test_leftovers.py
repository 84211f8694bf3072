"""What processes that died left half written is swept; what others are writing is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kdharness.results.leftovers import OLD_SECONDS
from kdharness.results.store import ResultsFolder

PLACES = ("", "plans", "cells/0123")


def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("pid", "age_seconds", "goes"),
    [(dead(), 0, True), (os.getpid(), 0, True), (os.getppid(), 0, False), (os.getppid(), OLD_SECONDS + 60, True)],
    ids=["dead", "own", "alive", "alive, and old"],
)
def test_what_is_swept(tmp_path: Path, place: str, pid: int, age_seconds: float, goes: bool) -> None:
    path = tmp_path / place / f".record.json.{pid}.0a1b2c3d.tmp"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{")
    moment = time.time() - age_seconds
    os.utime(path, (moment, moment))
    assert ResultsFolder(tmp_path).sweep() == int(goes)
    assert path.exists() == (not goes)


@pytest.mark.parametrize(
    "name", ["record.json", ".lock", ".notes.tmp", ".record.json.x.0a1b2c3d.tmp", "a.1.0a1b2c3d.tmp"]
)
def test_what_is_not_ours_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("")
    assert ResultsFolder(tmp_path).sweep() == 0
    assert (tmp_path / name).exists()
