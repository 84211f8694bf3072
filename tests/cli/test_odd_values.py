"""Options with values that mean nothing: one line, exit code 2, and nothing is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from kdharness.cli.main import execute


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--out", ""], "error: --out: no path is given"),
        (["--out="], "error: --out: no path is given"),
        (["--data", ""], "error: --data: no path is given"),
        (["--teacher", ""], "error: --teacher: no path is given"),
        (["--plugin="], "error: --plugin: no path is given"),
        (["--out", "file"], "error: --out file: file is no folder"),
        (["--out", "file/below/it"], "is no folder"),
        (["--device", ""], "error: --device : not one of auto, cpu"),
        (["--device", "cpu:7"], "error: --device cpu:7: not one of"),
        (["--scenarios", ","], "no scenario is left"),
        (["--scenarios", "../x"], "unknown scenario '../x' (--scenarios)"),
        (["--scenarios", "a\nb\x1b[31m"], "unknown scenario 'a b [31m' (--scenarios)"),
        (["--pairs", "a" * 5000 + ":b"], f"unknown model '{'a' * 100}...' (--pairs)"),
        (["--pairs", ":"], "--pairs: ':' is not of the form"),
        (["--pairs", "+:conv16"], "--pairs: '+:conv16' is not of the form"),
        (["--pairs", "conv32+:conv16"], "--pairs: 'conv32+:conv16' is not of the form"),
        (["--seeds", "5-1"], "'5-1' holds no seed"),
        (["--timeout", "nan"], "error: --timeout must be a number of seconds from 0.001 on, not nan"),
        (["--timeout", "0"], "error: --timeout must be a number of seconds from 0.001 on, not 0"),
        (["--timeout=-inf"], "error: --timeout must be a number of seconds from 0.001 on, not -inf"),
        (["--epochs", "9" * 20], "less than or equal to 1000000000"),
    ],
)
def test_odd_values_are_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    says: str,
    dry: list[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert execute(["run", "--methods", "kd", *dry, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert len(line) < 400
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("0", r"should be greater than or equal to 1;|0 is not in the range 1<=x<=1024;"),
        ("9" * 20, r"should be less than or equal to 1024;|9{20} is not in the range 1<=x<=1024;"),
    ],
)
def test_a_number_out_of_range_is_one_line(capsys: pytest.CaptureFixture[str], value: str, says: str) -> None:
    """In the words of the release of typer."""
    assert execute(["run", "--dry-run", "--workers", value]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: kdharness run: invalid value for '--workers': ")
    assert re.search(says, line)
