"""The scripts of benchmarks/speed run, on the smallest of everything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "benchmarks" / "speed"
SMALL = {
    "augmentation.py": (["--images", "70", "--rounds", "1"], "ratio"),
    "overhead.py": (["--pair", "resnet8:resnet8", "--methods", "kd", "--times", "2", "--rounds", "1"], "kd"),
    "losses.py": (["--pair", "resnet8:resnet8", "--methods", "kd", "--images", "64", "--rounds", "1"], "of a step"),
    "growth.py": (["--axes", "seeds", "--sizes", "1", "--rounds", "1"], "seeds        2      5"),
    "neighbours.py": (
        ["--pair", "resnet8:resnet8", "--methods", "kd", "--rounds", "1", "--images", "128", "--cpu"],
        "among 8",
    ),
}
# It needs an older release beside this one.
OTHERS = {"reading.py"}


def test_these_are_all() -> None:
    assert {path.name for path in SCRIPTS.glob("*.py")} == {*SMALL, *OTHERS}


@pytest.mark.parametrize("name", SMALL)
def test_a_script_measures(name: str) -> None:
    options, said = SMALL[name]
    done = subprocess.run([sys.executable, SCRIPTS / name, *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
