"""`kdharness bench` as a user meets it, on the smallest pair."""

from __future__ import annotations

import csv

import pytest

from kdharness.cli.main import execute
from kdharness.speed.rounds import Rounds

SMALL = ["bench", "conv8:conv4", "--images", "32", "--batch-size", "16", "--repeats", "1", "--loaders", "0"]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("kdharness.speed.advice.user_cache_path", lambda name: tmp_path / "cache")


def test_all_rows(tmp_path, capsys):
    out = tmp_path / "speed.csv"
    assert execute([*SMALL, "--methods", "kd,fitnet", "--out", str(out)]) == 0
    with out.open() as file:
        rows = {(row["row"], row["methods"]): row for row in csv.DictReader(file)}
    assert list(rows) == [
        ("plain", "kd|fitnet"),
        ("solo", "kd|fitnet"),
        ("group", "kd|fitnet"),
        ("table", "kd"),
    ]
    for row in rows.values():
        assert float(row["images_per_second"]) > 0
        assert int(row["peak_memory_bytes"]) > 0
        assert float(row["operations_per_step"]) > 10
        shares = [float(value) for name, value in row.items() if name.startswith("share_") and "bound" not in name]
        assert sum(shares) == pytest.approx(1, abs=1e-3)
    assert float(rows["table", "kd"]["share_teacher"]) < 0.5
    group, solo = rows["group", "kd|fitnet"], rows["solo", "kd|fitnet"]
    # One forward pass of the teacher less for every two steps.
    assert float(group["operations_per_step"]) < float(solo["operations_per_step"])
    captured = capsys.readouterr()
    assert "group of 2" in captured.out
    assert max(map(len, captured.out.splitlines())) <= 80
    assert captured.err.splitlines() == ["warming up", "round 1 of 1"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--rows", "solo,tabel"], "unknown row 'tabel' (--rows); did you mean 'table'?"),
        (["--precision", "bf61"], "unknown precision 'bf61' (--precision); did you mean 'bf16'?"),
        (["--methods", "kdd"], "unknown method 'kdd' (--methods); did you mean 'kd' or 'kdsvd' or 'vkd'?"),
        (["--batch-size", "64"], "--batch-size 64: there are 32 images (--images)"),
        (["--out", "/nowhere/x.csv"], "--out /nowhere/x.csv: no file can be written there"),
        (["--methods", ","], "--methods: none is given"),
        (["--device", "tpu"], "--device tpu: not one of auto, cpu, cuda, cuda:0,1"),
    ],
)
def test_a_mistake_is_one_line(capsys, more, said):
    assert execute([*SMALL, "--methods", "kd", *more]) == 2
    assert capsys.readouterr().err == f"error: {said}\n"


@pytest.mark.parametrize(("pair", "said"), [("conv8", "pair 'conv8' is not of the form"), ("conv9:conv4", "'conv9'")])
def test_a_mistaken_pair(capsys, pair, said):
    assert execute(["bench", pair, "--methods", "kd"]) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.count("\n") == 1


def test_a_method_that_the_usual_loop_lacks(capsys):
    assert execute([*SMALL, "--methods", "dml"]) == 2
    assert "without that row: --rows solo,group,table" in capsys.readouterr().err


def test_ctrl_c_shows_what_there_is(capsys, monkeypatch):
    time = Rounds._time

    def interrupted(self, unit, action):
        if unit[0] == "group":
            raise KeyboardInterrupt
        time(self, unit, action)

    monkeypatch.setattr(Rounds, "_time", interrupted)
    assert execute([*SMALL, "--methods", "kd,pkt", "--rows", "solo,group"]) == 130
    out = capsys.readouterr().out
    assert "solo" in out
    assert "group of" not in out


def test_advice_is_kept_for_the_runs_to_come(capsys, monkeypatch, tmp_path):
    assert execute([*SMALL, "--advise"]) == 0
    out = capsys.readouterr().out
    assert all(line in out for line in ("fp32 channels_last", "bf16 channels_last"))
    assert out.splitlines()[-1].startswith("conv8:conv4: ")
    monkeypatch.setattr("kdharness.device.device.multiplies_bf16", lambda: False)
    run = ["run", "--dry-run", "--methods", "kd", "--pairs", "conv8:conv4", "--set", "recipe.precision=bf16"]
    run += ["--out", str(tmp_path)]
    execute(run)
    assert "conv8:conv4 took " in capsys.readouterr().err


def test_a_run_in_bf16_without_instructions_is_warned(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr("kdharness.device.device.multiplies_bf16", lambda: False)
    run = ["run", "--dry-run", "--methods", "kd", "--pairs", "conv8:conv4", "--out", str(tmp_path)]
    execute([*run, "--set", "recipe.precision=bf16"])
    said = "this processor has no instructions for bf16; it may take several times as long as fp32; to measure it: "
    assert f"{said}kdharness bench --advise conv8:conv4\n" in capsys.readouterr().err
    execute(run)
    assert "bf16" not in capsys.readouterr().err
