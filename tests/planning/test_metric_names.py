"""Metrics by name: a name of the built-in ones that somebody else claims, and splits that there are not."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdharness.cli.main import execute

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
    header, *rows = (line.split(",") for line in results.read_text().splitlines())
    assert "x_seed" in header
    assert {row[header.index("x_seed")] for row in rows} >= {"1.0"}
