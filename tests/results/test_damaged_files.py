"""Records, plans and progress of any shape: one line that names the file, and every command goes on without it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import fabricate
import pytest

from kdharness.cli.main import execute
from kdharness.results.store import ResultsFolder

COMMANDS = ("status", "report", "leaderboard")
DEEP = "[" * 100_000 + "]" * 100_000
CONTENTS = [b"", b"{", b"[]", b"null", b"3", b'"text"', b"\xff\xfe", b"{}" * 2, DEEP.encode(), b'{"schema": 2}']
CONTENTS += [b'{"schema": %s}' % text for text in (b"true", b"-1", b"1e9", b"[]", b'"2"', b"9" * 30)]


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    """Cells of all kinds, and a run that says it is at work."""
    made = fabricate.tiny_world(tmp_path)
    made.progress.write({"done": 1, "total": 2, "running": [{"cells": [fabricate.cell("slow").key], "label": "slow"}]})
    return made


def files_of(folder: ResultsFolder) -> dict[str, Path]:
    record = folder.cell(fabricate.cell("kd").key).record
    return {"record": record, "plan": folder.plans.paths()[-1], "progress": folder.progress.path}


@pytest.mark.parametrize("which", ["record", "plan", "progress"])
@pytest.mark.parametrize("content", CONTENTS, ids=lambda content: content[:16].decode(errors="replace"))
def test_a_damaged_file_is_named_in_one_line_by_every_command(
    folder: ResultsFolder, capsys: pytest.CaptureFixture[str], which: str, content: bytes
) -> None:
    path = files_of(folder)[which]
    path.write_bytes(content)
    for command in COMMANDS:
        assert execute([command, str(folder.path)]) == 0
        warnings = [line for line in capsys.readouterr().err.splitlines() if str(path) in line]
        assert len(warnings) == (0 if (which, content[:1]) == ("progress", b"{") and is_object(content) else 1)


def is_object(content: bytes) -> bool:
    """Progress has no version: any object that says nothing wrong will do."""
    try:
        return isinstance(json.loads(content), dict)
    except (ValueError, RecursionError):
        return False


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no named pipes")
@pytest.mark.parametrize("which", ["record", "plan", "progress"])
def test_a_pipe_in_the_place_of_a_file_holds_up_nobody(
    folder: ResultsFolder, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    path = files_of(folder)[which]
    path.unlink()
    os.mkfifo(path)
    for command in COMMANDS:
        assert execute([command, str(folder.path)]) == 0
        assert f"{path} cannot be read and counts as absent (it is no plain file)" in capsys.readouterr().err


def test_a_file_of_any_size_is_refused_unread(folder: ResultsFolder, capsys: pytest.CaptureFixture[str]) -> None:
    path = files_of(folder)["record"]
    os.truncate(path, 2**40)
    assert execute(["status", str(folder.path)]) == 0
    assert "larger than 1024 MiB" in capsys.readouterr().err
