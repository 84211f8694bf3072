"""What the words of a command line become."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdharness.cli.main import execute
from kdharness.cli.options import data_root, one_of, spread
from kdharness.errors import UserError
from kdharness.execution.rerun import Rerun


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        ("run --set a.b=1 c.d=2 e.f=3", "run --set a.b=1 --set c.d=2 --set e.f=3"),
        ("run --set a.b=1 digits", "run --set a.b=1 digits"),
        ("run digits --set a.b=1 --yes x=2", "run digits --set a.b=1 --yes x=2"),
        ("run --plugin a.py b.py mine.toml", "run --plugin a.py --plugin b.py mine.toml"),
        ("run --teacher a.pt conv8=b.bin c.safetensors digits", "run --teacher a.pt --teacher conv8=b.bin"
         " --teacher c.safetensors digits"),
        ("run --methods kd digits=x", "run --methods kd digits=x"),
        ("run --set", "run --set"),
        ("", ""),
    ],
)  # fmt: skip
def test_several_values_after_one_option(given: str, becomes: str) -> None:
    assert spread(given.split()) == becomes.split()


def test_several_settings_reach_the_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")  # wide enough for a variant on one line
    arguments = ["run", "--methods", "kd", "--set", "kd.temperature=2", "kd.weight=0.5", "digits", "--dry-run"]
    assert execute([*arguments, "--device", "cpu", "--out", str(tmp_path)]) == 0
    assert "kd[temperature=2,weight=0.5]" in capsys.readouterr().out


def test_rerun() -> None:
    parse = one_of(Rerun, "--rerun")
    assert parse("failed") is Rerun.FAILED
    assert parse("all") is Rerun.ALL
    with pytest.raises(UserError, match=r"unknown value 'faild' \(--rerun\); did you mean 'failed'"):
        parse("faild")


def test_a_wrong_rerun_is_one_plain_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["run", "--rerun", "faild"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: unknown value 'faild' (--rerun); did you mean 'failed'")
    assert err.count("\n") == 1


def test_help_names_the_values_of_rerun(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["run", "--help"]) == 0
    assert "--rerun [failed|all]" in capsys.readouterr().out


def test_where_data_lies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KDHARNESS_DATA", "/theirs")
    assert data_root(Path("/mine")) == Path("/mine")
    assert data_root(None) == Path("/theirs")
    monkeypatch.delenv("KDHARNESS_DATA")
    assert data_root(None).name == "kdharness"
