"""A full disk is known by whoever notices it, and is no cell's fault."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from kdharness.disk import cannot_write, no_room
from kdharness.errors import Contained, UserError
from kdharness.results.files import write_atomic


class Foreign(Exception):
    """As libraries in other languages raise their own."""


def full(number: int = errno.ENOSPC) -> OSError:
    return OSError(number, os.strerror(number))


def hidden(error: Exception) -> Exception:
    """One that a plugin raised while it handled the error."""
    try:
        try:
            raise error
        except Exception:  # noqa: BLE001 - as a plugin does
            raise ValueError("could not save") from None
    except ValueError as found:
        return found


@pytest.mark.parametrize(
    "error",
    [
        full(),
        full(errno.EDQUOT),
        full(errno.EFBIG),
        hidden(full()),
        Foreign("Error while serializing: I/O error: No space left on device (os error 28)"),
        OSError("131072 requested and 4096 written"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_no_room(error: Exception) -> None:
    told: list[Exception] = []
    with pytest.raises(type(error)), Contained(told.append):
        raise error
    assert (no_room(error), cannot_write(error), told) == (True, True, [])


@pytest.mark.parametrize("error", [full(errno.EACCES), ValueError("no space"), OSError("2 written"), full(errno.EROFS)])
def test_what_is_not_a_full_disk_is_the_cell_s(error: Exception) -> None:
    told: list[Exception] = []
    with Contained(told.append):
        raise error
    assert told == [error]
    assert cannot_write(error) is (getattr(error, "errno", None) == errno.EROFS)


def test_what_a_library_says_of_it_names_the_file(tmp_path: Path) -> None:
    def content(file: object) -> None:
        raise Foreign("I/O error: No space left on device (os error 28)")

    with pytest.raises(UserError, match=r"^could not write .*file: I/O error: No space left .* are kept$"):
        write_atomic(tmp_path / "file", content)
    assert list(tmp_path.iterdir()) == []


LIMITED = """
    import resource, runpy, sys
    resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))
    sys.argv = ["kdharness", *{arguments}]
    runpy.run_module("kdharness", run_name="__main__")
"""

PLUGIN = """
import os, tempfile
import numpy, torch
from safetensors.torch import save_file
from kdharness.api import Method, MethodSpec, hookimpl

def numpy_array(path): numpy.zeros(10**6).tofile(path)
def torch_file(path): torch.save(torch.zeros(10**6), path)
def safetensors_file(path): save_file({"a": torch.zeros(10**6)}, path)

class Saves(Method):
    "Saves what does not fit."
    name = "saves"
    how: str = "numpy_array"
    def losses(self, batch, student, teacher=None):
        with tempfile.TemporaryDirectory() as folder:
            globals()[self.how](os.path.join(folder, "file"))
        return {"ce": batch.task_loss(student.logits)}

@hookimpl
def kdharness_methods():
    return [MethodSpec.of(Saves)]
"""


def run(arguments: list[str], most: int) -> subprocess.CompletedProcess[str]:
    """The command, in a process whose files may have so many bytes."""
    script = textwrap.dedent(LIMITED.format(most=most, arguments=arguments))
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit on files works otherwise elsewhere")
@pytest.mark.parametrize("how", ["numpy_array", "torch_file", "safetensors_file"])
def test_the_run_stops_whoever_notices_and_goes_on_when_there_is_room(tmp_path: Path, how: str) -> None:
    plugin = tmp_path / "saves.py"
    plugin.write_text(PLUGIN)
    options = ["--set", f"saves.how={how}", "--seeds", "0", "--epochs", "1", "--executor", "inline", "--device", "cpu"]
    command = ["run", "digits", "--plugin", str(plugin), "--methods", "saves", *options, "--out", str(tmp_path / "out")]
    stopped = run(command, 3_000_000)
    assert stopped.returncode == 2, stopped.stderr
    (line,) = [line for line in stopped.stderr.splitlines() if line.startswith("error: ")]
    assert line.startswith("error: nothing more can be written: ")
    assert line.endswith("; the cells that were finished before are kept")
    assert "failed" not in stopped.stdout + stopped.stderr.replace(line, "")
    again = run(command, resource.RLIM_INFINITY)
    assert again.returncode == 0, again.stderr
    assert "ok saves" in again.stderr
