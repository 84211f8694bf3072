"""Metrics by name: a name of the built-in ones that somebody else claims, and splits that there are not."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pandas as pd
import pytest

from kdharness.cli.main import execute
from kdharness.protocol.benchmark import available

CLASH = """
from kdharness.api import MetricSpec, hookimpl

@hookimpl
def kdharness_metrics():
    yield MetricSpec("{name}", lambda evaluation: {{"{name}": 1.0}})
"""


@pytest.fixture
def command(tmp_path: Path):
    def run(name: str) -> list[str]:
        file = tmp_path / f"{name}.py"
        file.write_text(CLASH.format(name=name))
        out = ["--out", str(tmp_path / "results"), "--seeds", "0", "--methods", "vanilla", "--epochs", "1"]
        return ["run", "--plugin", str(file), *out, "--scenarios", "few100", "--pairs", "conv8:conv4"]

    return run


def test_a_name_of_a_built_in_metric_that_is_claimed_twice(command, capsys) -> None:
    """A table without the number that ranks would look whole."""
    assert execute([*command("top1"), "--dry-run"]) == 2
    error = capsys.readouterr().err
    assert "metric 'top1' (benchmark 'digits') is claimed twice, by kdharness" in error
    assert "say kdharness/top1 or top1/top1" in error


def test_a_metric_that_is_called_like_a_column(command, capsys, tmp_path: Path) -> None:
    """It fills an x_ column, and not that of the harness."""
    assert execute([*command("seed"), "--executor", "inline"]) == 0
    (results,) = (tmp_path / "results").glob("*/results.csv")
    header, *rows = csv.reader(results.read_text().splitlines())
    assert "x_seed" in header
    assert {row[header.index("x_seed")] for row in rows} >= {"1.0"}


def test_a_metric_of_a_built_in_ones_name_fills_a_column_of_its_own(command, capsys, tmp_path: Path) -> None:
    text = available()["digits"].read_text(encoding="utf-8")
    benchmark = tmp_path / "mine.toml"
    benchmark.write_text('metrics = ["kdharness/top1", "top1/top1"]\n' + re.sub(r"(?m)^metrics = .*$", "", text))
    _, *options = command("top1")
    assert execute(["run", str(benchmark), *options, "--executor", "inline", "--device", "cpu"]) == 0
    (results,) = (tmp_path / "results").glob("*/results.csv")
    table = pd.read_csv(results)
    assert (table["x_top1/top1"] == 1.0).all()
    assert (table["top1"] > 5.0).all()
    metrics = pd.read_csv(results.with_name("metrics.csv"))
    assert {"top1", "top1/top1"} <= set(metrics["metric"])
