"""`kdharness verify` as a command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kdharness.cli.main import execute
from kdharness.results.seal import sealed
from kdharness.results.store import ResultsFolder

WITHOUT_TORCH = """
import sys
from kdharness.cli.main import execute
code = execute(["verify", sys.argv[1]])
print("LOADED", *({"torch", "torchvision", "sklearn"} & set(sys.modules)))
sys.exit(code)
"""


def record_of(path: Path, method: str) -> Path:
    records = ResultsFolder(path).records().values()
    return path / "cells" / next(r.cell.key for r in records if r.cell.method == method) / "record.json"


def edit(path: Path, name: str, value: float) -> None:
    """With the digest made anew."""
    data = json.loads(path.read_text())
    data["values"][name] = value
    path.write_text(sealed({k: v for k, v in data.items() if k != "digest"}))


def test_a_folder_that_is_well_is_verified_without_torch(finished: Path) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH, finished], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["all is well", "LOADED"]


def test_exact_counts_everything_to_the_last_bit(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["verify", str(finished), "--exact"]) == 0
    out = capsys.readouterr().out
    counted = next(line for line in out.splitlines() if "counted again" in line)
    total = counted.split()[0]
    assert counted == f"{total} numbers counted again: {total} exactly"


def test_what_is_wrong_is_named_and_the_code_is_1(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record_of(results, "kd")
    edit(path, "top1", 99.5)
    assert execute(["verify", str(results)]) == 1
    out = capsys.readouterr().out
    where = path.relative_to(results).as_posix()
    assert f"edited: {where}: top1 is 99.5, predictions.npz gives " in out
    assert "edited: results.csv: row " in out
    assert "edited: leaderboard.csv: row " in out


def test_a_last_digit_is_settled_by_the_metric_itself(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record_of(results, "kd")
    true = json.loads(path.read_text())["values"]["nll"]
    edit(path, "nll", true * (1 + 1e-6))
    assert execute(["verify", str(results)]) == 1
    assert f"predictions.npz gives {true!r}" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nowhere", "results.csv"])
def test_what_cannot_be_verified_is_one_line_and_the_code_is_2(
    results: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = results.parent / "alone"
    alone.mkdir()
    (results / "results.csv").replace(alone / "results.csv")
    assert execute(["verify", str(alone / name)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_cells_drawn_at_random_are_trained_again_and_compared(
    finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["verify", str(finished), "--rerun", "2", "--seed", "1", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    drawn = lines[0].removeprefix("to be trained again (--seed 1): ").split(", ")
    assert len(drawn) == 2
    assert lines[1:3] == [f"trained again, the same bits: {label}" for label in drawn]


def test_what_does_not_come_out_again_is_wrong(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = record_of(results, "byot")
    history = path.with_name("history.csv")
    lines = history.read_text().splitlines(keepends=True)
    last = max(i for i, line in enumerate(lines) if ",train," in line)
    fields = lines[last].rstrip("\n").split(",")
    lines[last] = ",".join([*fields[:-1], "0.125\n"])
    history.write_text("".join(lines))
    assert execute(["verify", str(results), "--rerun", "7", "--seed", "1", "--device", "cpu"]) == 1
    assert f"differs: cells/{path.parent.name}: byot" in capsys.readouterr().out
