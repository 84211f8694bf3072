"""Processes that are started without streams, or with streams that cannot say everything."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "kdharness"]
OPTIONS = ["--methods", "vanilla", "--seeds", "0", "--epochs", "1", "--device", "cpu", "--workers", "1"]


def statuses(out: Path) -> list[str]:
    return [json.loads(path.read_text())["status"] for path in (out / "digits" / "cells").glob("*/record.json")]


@pytest.mark.skipif(os.name != "posix", reason="a shell closes them")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_run_needs_no_stream(tmp_path: Path, closed: str) -> None:
    words = " ".join([*COMMAND, "run", "digits", *OPTIONS, "--out", str(tmp_path / "out")])
    done = subprocess.run(["sh", "-c", f"{words} {closed}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert statuses(tmp_path / "out") == ["ok"]
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp932", "latin-1"])
def test_a_narrow_encoding_stands_in_for_what_it_lacks(tmp_path: Path, encoding: str) -> None:
    plugin = tmp_path / "prints.py"
    plugin.write_text(
        "from kdharness.api import Method, MethodSpec, hookimpl\n"
        "class Prints(Method):\n"
        "    'Schr\u00f6dinger\u2019s \u4e2d \u00b1.'\n"
        "    name = 'prints'\n"
        "    def losses(self, batch, student, teacher=None):\n"
        "        print('\u4e2d \u00b1 \\ud800')\n"
        "        return {'ce': batch.task_loss(student.logits)}\n"
        "@hookimpl\n"
        "def kdharness_methods():\n"
        "    return [MethodSpec.of(Prints)]\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    common = {"capture_output": True, "check": False, "env": environment}
    listed = subprocess.run([*COMMAND, "list", "methods", "--plugin", str(plugin)], **common)  # type: ignore[call-overload]
    assert (listed.returncode, b"dinger" in listed.stdout) == (0, True), listed.stderr
    options = [*OPTIONS, "--methods", "prints", "--plugin", str(plugin), "--out", str(tmp_path / "out")]
    done = subprocess.run([*COMMAND, "run", "digits", *options], **common)  # type: ignore[call-overload]
    assert done.returncode == 0, done.stderr
    assert set(statuses(tmp_path / "out")) == {"ok"}


def test_workers_without_any_place_for_shared_numbers_end_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from kdharness.cli.main import USAGE, execute

    def nowhere(*of_the_array: object) -> None:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("kdharness.execution.local.RawArray", nowhere)
    assert execute(["run", "digits", *OPTIONS, "--out", str(tmp_path / "out")]) == USAGE
    assert "error: workers need /dev/shm, or a temporary folder in its place" in capfd.readouterr().err
    assert statuses(tmp_path / "out") == []


@pytest.mark.parametrize("more", [(), ("--dry-run",), ("--executor", "inline")])
def test_without_a_temporary_folder_no_cell_is_begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str], more: tuple[str, ...]
) -> None:
    from kdharness.cli.main import USAGE, execute

    def nowhere() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    with monkeypatch.context() as patched:
        patched.setattr("tempfile.gettempdir", nowhere)
        assert execute(["run", "digits", *OPTIONS, *more, "--out", str(tmp_path / "out")]) == USAGE
    told = "No usable temporary directory found in ['/tmp']"
    assert capfd.readouterr().err == f"error: no temporary folder can be written (TMPDIR names one): {told}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_output_that_is_full_is_one_line() -> None:
    with open("/dev/full", "wb") as full:
        command = [*COMMAND, "list", "methods"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: nothing more can be written: ")
    assert done.stderr.count("\n") == 1
