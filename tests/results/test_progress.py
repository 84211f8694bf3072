"""What a run says of itself, and whether it still is at work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kdharness.results.processes import started
from kdharness.results.progress import silence_seconds, summary_line
from kdharness.results.store import ResultsFolder


def test_progress_tells_whether_its_process_lives(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    assert folder.progress.read() is None
    folder.progress.write({"done": 1, "total": 2, "seconds_left": float("nan")})
    progress = folder.progress.running()
    assert progress is not None
    assert progress["pid"] == os.getpid()
    assert "seconds_left" not in progress
    folder.progress.write({"pid": 2**22 + 1})
    assert folder.progress.running() is None
    folder.progress.write({"host": "another machine"})
    assert folder.progress.running() is not None
    folder.progress.write({"host": "another machine", "updated_at": "2020-01-01T00:00:00+00:00"})
    assert folder.progress.running() is None
    folder.progress.path.write_text("{")
    assert folder.progress.running() is None


def test_the_progress_goes_with_the_run(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    folder.progress.write({"done": 1})
    folder.progress.remove()
    assert not folder.progress.path.exists()
    folder.progress.remove()


def test_silence_is_counted_from_what_was_written(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    folder.progress.write({})
    written = folder.progress.read()
    assert written is not None
    assert 0 <= silence_seconds(written) < 60
    assert silence_seconds({"updated_at": "yesterday"}) == float("inf")


def test_time_left_is_in_the_words_of_the_live_display() -> None:
    progress = {"done": 12, "total": 40, "images_per_second": 3100.4, "seconds_left": 37 * 3600}
    assert summary_line(progress) == "12 of 40 cells done · 3100 images/s · about 37 h 0 min left"
    assert summary_line({}) == "running"


def test_a_dead_run_whose_process_number_is_taken_is_not_running(tmp_path: Path) -> None:
    """Our own number, of a process that started at another moment."""
    folder = ResultsFolder(tmp_path / "tiny")
    folder.progress.write({"started": "another boot:1"})
    assert folder.progress.running() is None


def test_the_run_that_wrote_it_is_running(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    folder.progress.write({})
    progress = folder.progress.running()
    assert progress is not None
    assert progress["started"] == started(os.getpid())


def test_where_the_system_says_no_start_a_silent_run_is_dead(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "tiny")
    folder.progress.write({"started": ""})
    assert folder.progress.running() is not None
    for moment in ("2020-01-01T00:00:00+00:00", "2999-01-01T00:00:00+00:00", "0001-01-01T00:00:00+23:59", "soon"):
        folder.progress.write({"started": "", "updated_at": moment})
        assert folder.progress.running() is None, moment


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the system has no /proc")
def test_two_processes_never_started_at_one_moment_with_one_number() -> None:
    assert started(os.getpid()) == started(os.getpid()) != started(1) != ""


@pytest.mark.parametrize(
    "damaged",
    [
        "[]",
        '{"running": 3}',
        '{"running": [3]}',
        '{"running": [{"cells": 3}]}',
        '{"running": [{"cells": [["a"]]}]}',
        '{"done": "many", "total": 3}',
        '{"pid": "1"}',
        '{"pid": 1e999}',
        '{"pid": 99999999999999999999999}',
        '{"images_per_second": "fast"}',
        '{"seconds_left": NaN}',
        '{"seconds_left": Infinity}',
        '{"host": ["here"]}',
    ],
)
def test_progress_of_another_form_is_named_and_counts_as_absent(tmp_path: Path, damaged: str) -> None:
    warnings: list[str] = []
    folder = ResultsFolder(tmp_path / "tiny", warnings.append)
    folder.path.mkdir()
    folder.progress.path.write_text(damaged)
    assert folder.progress.running() is None
    (warning,) = warnings
    assert str(folder.progress.path) in warning
    assert "\n" not in warning
