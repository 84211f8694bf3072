"""Ctrl-C at any moment of a command that writes: exit code 130, nothing half-written, and it works when run again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kdharness.cli.main import execute
from kdharness.report.leaderboard import write_tables

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))
import fabricate

COMMANDS: Mapping[str, list[str]] = {
    "html": ["report", "DIR", "--format", "html", "--out", "OUT/page.html"],
    "latex": ["report", "DIR", "--format", "latex", "--out", "OUT/table.tex"],
    "leaderboard": ["leaderboard", "DIR", "--out", "OUT/board.csv"],
    "compare": ["compare", "DIR", "--out", "OUT/compared.txt"],
    "csv": ["compare", "DIR", "--format", "csv", "--out", "OUT/compared.csv"],
    "bundle": ["bundle", "DIR", "--out", "OUT/tiny.zip"],
    "export": ["results", "export", "DIR", "--out", "OUT"],
}
# Of what is called while a file is written, in order: its text is whole, it is put in its place.
MOMENTS = ("fsync", "replace")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    folder = fabricate.tiny_world(tmp_path)
    write_tables(folder.load())
    return folder.path


def files(path: Path) -> dict[str, bytes]:
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()}


def interrupting(monkeypatch: pytest.MonkeyPatch, moment: str, number: int) -> None:
    """Ctrl-C just before the call of that number."""
    usual: Callable[..., None] = getattr(os, moment)
    calls = []

    def call(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == number:
            os.kill(os.getpid(), signal.SIGINT)
        usual(*arguments)

    monkeypatch.setattr(os, moment, call)


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_written_is_whole_or_not_there(
    tmp_path: Path,
    world: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: str,
    moment: str,
) -> None:
    def run(out: str) -> int:
        return execute([w.replace("DIR", str(world)).replace("OUT", str(tmp_path / out)) for w in COMMANDS[command]])

    before = files(world)
    assert run("whole") == 0
    whole = files(tmp_path / "whole")
    for number in {1, len(whole)}:
        out = f"cut{number}"
        with monkeypatch.context() as patched:
            interrupting(patched, moment, number)
            assert run(out) == 130
        assert len(files(tmp_path / out)) == number - 1
        assert files(tmp_path / out).items() <= whole.items()
        assert run(out) == 0
        assert files(tmp_path / out) == whole
    assert files(world) == before
    assert "Traceback" not in capsys.readouterr().err


def test_a_rerun_that_is_interrupted_says_nothing_of_the_folder(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("kdharness.cli.session.run_plan", lambda request: 130)
    assert execute(["verify", str(finished), "--rerun", "1", "--seed", "1", "--device", "cpu"]) == 130
    said = capsys.readouterr()
    assert "to be trained again" in said.out
    assert "missing" not in said.out


@pytest.mark.parametrize("module", ["kdharness.cli.main", "typer", "kdharness.cli.report", "pandas"])
def test_no_traceback_while_it_starts(world: Path, module: str) -> None:
    program = f"""
import importlib.abc, os, runpy, signal, sys

class Interrupting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sys.argv[0] = "kdharness"
runpy.run_module("kdharness", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", program, "report", str(world)], capture_output=True, check=False)
    assert done.returncode in (130, -signal.SIGINT)  # a shell shows both as 130
    assert done.stdout == done.stderr == b""
