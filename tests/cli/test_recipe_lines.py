"""A dry run says which networks are trained otherwise than most."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdharness.cli.main import execute

BENCHMARK = """
datasets = ["digits"]
pairs = ["conv32:conv16", "conv16:conv8"]
seeds = "0-2"
run = ["vanilla", "kd"]

[recipe]
epochs = 2
lr = 0.1

[teacher]
epochs = 1

[models.conv8]
lr = 0.01
clip_norm = 1
"""


def dry_run(path: Path, *more: str) -> int:
    return execute(["run", str(path), "--dry-run", "--out", str(path.parent / "out"), *more])


def test_networks_that_are_trained_otherwise_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(BENCHMARK)
    assert dry_run(path) == 0
    told = [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith("recipe of")]
    assert told == [
        "recipe of conv16 as teacher: epochs=1",
        "recipe of conv32: epochs=1",
        "recipe of conv8: clip_norm=1.0, lr=0.01",
    ]


def test_nothing_is_said_where_all_are_trained_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(BENCHMARK.partition("[teacher]")[0])
    assert dry_run(path) == 0
    assert "recipe of" not in capsys.readouterr().out
