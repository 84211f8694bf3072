"""`status`, `report` and `leaderboard` as commands."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import fabricate
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner, Result

from kdharness.cli.leaderboard import leaderboard
from kdharness.cli.main import execute
from kdharness.cli.report import report
from kdharness.cli.status import status
from kdharness.errors import UserError
from kdharness.results.record import COLUMNS
from kdharness.stats.board_schema import board_columns
from kdharness.stats.standings import REFERENCES

README = Path(__file__).parents[2] / "results" / "README.md"


def run(*arguments: object) -> Result:
    app = typer.Typer()
    for command in (status, report, leaderboard):
        app.command()(command)
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_status_counts_every_planned_cell(tmp_path: Path) -> None:
    fabricate.tiny_world(tmp_path)
    result = run("status", tmp_path)
    header, row = result.stdout.splitlines()[:2]
    assert header.split() == ["benchmark", "ok", "failed", "interrupted", "not", "run", "skipped", "cells"]
    assert row.split() == ["tiny", "26", "5", "1", "1", "5", "38"]
    assert "the next run goes on with 2 cells" in result.stdout


def test_status_says_what_runs(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    cells = [fabricate.cell("slow", seed).key for seed in (0, 1)]
    group = {"cells": cells, "stepping": cells[0], "label": "slow conv32:conv16", "epoch": 3, "epochs": 8}
    folder.progress.write({"done": 36, "total": 38, "running": [group], "seconds_left": 600})
    text = run("status", tmp_path / "tiny").stdout
    assert "tiny: 36 of 38 cells done · about 10 min left" in text
    assert "slow conv32:conv16, epoch 3 of 8, with 1 cell beside it" in text
    assert "running" in text.splitlines()[0]


def test_status_of_a_run_that_died_is_not_running(tmp_path: Path) -> None:
    folder = fabricate.tiny_world(tmp_path)
    folder.progress.write({"pid": 2**22 + 1, "done": 1, "total": 38, "running": [{"cells": []}]})
    text = run("status", tmp_path).stdout
    assert "nothing is running" in text
    assert "of 38 cells done" not in text


def test_report_prints_and_writes(tmp_path: Path) -> None:
    fabricate.tiny_world(tmp_path)
    assert "attention_transfer" in run("report", tmp_path).stdout
    for form, sign in (("html", "<!doctype html>"), ("latex", "\\toprule"), ("markdown", "| --- |"), ("terminal", "±")):
        out = tmp_path / "made" / f"report.{form}"
        result = run("report", tmp_path, "--format", form, "--out", out)
        assert sign in out.read_text()
        assert result.stdout == ""
        assert str(out) in result.stderr
    assert run("report", tmp_path, "--format", "latex").stdout == (tmp_path / "made" / "report.latex").read_text()


def test_an_unknown_format_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fabricate.tiny_world(tmp_path)
    assert execute(["report", str(tmp_path), "--format", "htm"]) == 2
    assert capsys.readouterr().err == "error: unknown format 'htm' (--format); did you mean 'html'?\n"
    assert execute(["report", str(tmp_path), "--format", "pdf"]) == 2
    valid = "html, latex, markdown, terminal"
    assert capsys.readouterr().err == f"error: unknown format 'pdf' (--format); valid: {valid}\n"


def test_leaderboard_prints_and_writes(tmp_path: Path) -> None:
    fabricate.tiny_world(tmp_path / "a")
    fabricate.tiny_world(tmp_path / "b", protocol="p2")
    text = run("leaderboard", tmp_path / "a").stdout
    assert "attention_transfer" in text
    assert "failed" not in text.replace("not failed", "")
    result = run("leaderboard", tmp_path / "a", tmp_path / "b", "--out", tmp_path / "all.csv")
    assert result.stdout == ""
    assert "several protocols" in result.stderr
    frame = pd.read_csv(tmp_path / "all.csv")
    assert frame.columns.to_list() == [column.name for column in board_columns(REFERENCES)]
    assert set(frame["protocol"]) == {"p1", "p2"}


def test_a_folder_named_twice_counts_once(tmp_path: Path) -> None:
    fabricate.tiny_world(tmp_path)
    assert run("leaderboard", tmp_path, tmp_path / "tiny").stderr == ""


@pytest.mark.parametrize("command", ["status", "report", "leaderboard"])
def test_no_results_is_the_users_mistake(tmp_path: Path, command: str) -> None:
    with pytest.raises(UserError, match="does not exist"):
        run(command, tmp_path / "nowhere")


def test_the_commands_load_no_torch(tmp_path: Path) -> None:
    fabricate.tiny_world(tmp_path)
    program = f"""
import sys
import kdharness.cli.report, kdharness.cli.status, kdharness.cli.leaderboard
assert "pandas" not in sys.modules, "pandas at the door"
from pathlib import Path
root = Path({str(tmp_path)!r})
kdharness.cli.status.status(root)
for form in kdharness.cli.report.Format:
    kdharness.cli.report.report(root, form)
kdharness.cli.leaderboard.leaderboard([root])
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_every_column_is_in_the_dictionary() -> None:
    text = README.read_text()
    table = text.split("## leaderboard.csv")[0].split("## results.csv")[1]
    for name in COLUMNS:
        assert re.search(rf"^\| `{name}` \|", table, re.MULTILINE), name
    described = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert tuple(name for name in described if not name.startswith("x_")) == COLUMNS
