"""An edited built-in never gets an old result, seen from the command line in a copy of the source tree."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {"kdharness": "kdharness", "kdharness_plugins": "plugins", "kdharness_benchmarks": "benchmarks"}
OPTIONS = ["--methods", "kd,at", "--seeds", "0", "--epochs", "1", "--scenarios", "few100", "--pairs", "conv8:conv8"]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A folder with the packages as they are imported, free to be edited."""
    for package, source in PACKAGES.items():
        shutil.copytree(ROOT / source, tmp_path / "copy" / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "copy"


def run(copy: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Trains what is missing. By role and method: when the cell started, and its revision."""
    environment = {**os.environ, "PYTHONPATH": str(copy)}
    out = copy.parent / "out"
    command = [
        sys.executable,
        "-m",
        "kdharness",
        "run",
        *OPTIONS,
        "--out",
        str(out),
        "--executor",
        "inline",
        "--device",
        "cpu",
    ]
    done = subprocess.run(command, env=environment, cwd=copy.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with (out / "digits" / "results.csv").open(newline="") as file:
        return {(r["role"], r["method"]): (r["started_at"], r["method_revision"]) for r in csv.DictReader(file)}


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_an_edited_method_is_trained_anew_and_the_others_are_kept(copy: Path) -> None:
    first = run(copy)
    methods = copy / "kdharness_plugins" / "methods"
    edit(methods / "kd.py", "class ", "# A comment is no edit.\nclass ")
    assert run(copy) == first
    edit(methods / "kd.py", "weight: NotNegative = 0.9", "weight: NotNegative = 0.9 + 0")
    second = run(copy)
    student = ("student", "kd")
    assert second[student][0] > first[student][0]
    assert second[student][1].startswith("1+")
    assert {**second, student: None} == {**first, student: None}
