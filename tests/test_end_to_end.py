"""The command line as a user meets it: real processes, real digits, killed and interrupted runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from kdharness.cli.main import execute

RUN = ("run", "--methods", "vanilla,kd,at", "--seeds", "0-1", "--epochs", "6", "--workers", "2", "--device", "cpu")

# What depends on the clock or on how cells were bundled, not on what was trained.
CIRCUMSTANCES = [
    "train_seconds", "shared_seconds", "alone_seconds", "chain_seconds", "images_per_second", "group_size",
    "started_at", "finished_at", "peak_memory_bytes",
]  # fmt: skip


def kdharness(*arguments: str, cwd: Path, **rest: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "kdharness", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, **rest)  # type: ignore[call-overload]


def table(folder: Path) -> pd.DataFrame:
    frame = pd.read_csv(folder / "results" / "digits" / "results.csv", keep_default_na=False)
    latencies = [c for c in frame if "latency" in c]
    return frame.drop(columns=[*CIRCUMSTANCES, *latencies]).sort_values("cell").reset_index(drop=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = kdharness(*RUN, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_a_run_ends_with_a_report_and_tables(undisturbed: Path) -> None:
    frame = pd.read_csv(undisturbed / "results" / "digits" / "results.csv", keep_default_na=False)
    assert len(frame) == 7
    assert set(frame.status) == {"ok"}
    assert sorted(frame.role) == ["student"] * 6 + ["teacher"]
    assert set(frame.deviations) == {"recipe.epochs=6"}
    leaderboard = pd.read_csv(undisturbed / "results" / "digits" / "leaderboard.csv")
    assert leaderboard.empty  # the run departs from its benchmark


def test_a_second_run_keeps_everything(undisturbed: Path) -> None:
    records = {p: p.stat().st_mtime_ns for p in (undisturbed / "results").rglob("record.json")}
    again = kdharness(*RUN, cwd=undisturbed)
    assert again.returncode == 0, again.stderr
    assert "deviates from the benchmark" in again.stdout
    assert {p: p.stat().st_mtime_ns for p in (undisturbed / "results").rglob("record.json")} == records


def test_results_go_to_stdout_and_progress_to_stderr_without_control_codes(undisturbed: Path, tmp_path: Path) -> None:
    done = kdharness("run", "--methods", "vanilla", "--seeds", "0", "--epochs", "2", cwd=tmp_path)
    assert "vanilla" in done.stdout
    assert "[1/1] ok vanilla conv16 digits few100 seed 0" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "[1/1]" not in done.stdout


@pytest.mark.parametrize("delay_seconds", [2.5, 4.5])
def test_a_killed_run_is_taken_up_and_gives_the_same_table(
    undisturbed: Path, tmp_path: Path, delay_seconds: float
) -> None:
    command = [sys.executable, "-m", "kdharness", *RUN]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(delay_seconds)
    process.kill()
    process.wait()
    cells = tmp_path / "results" / "digits" / "cells"
    finished = {
        p: p.stat().st_mtime_ns for p in cells.glob("*/record.json") if json.loads(p.read_text())["status"] == "ok"
    }
    again = kdharness(*RUN, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert {p: p.stat().st_mtime_ns for p in finished} == finished  # none was run twice
    pd.testing.assert_frame_equal(table(tmp_path), table(undisturbed))


def test_killed_workers_cost_one_retry_and_nothing_else(undisturbed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "kdharness", *RUN]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    killed = 0
    deadline = time.monotonic() + 60
    while not killed and process.poll() is None and time.monotonic() < deadline:
        for worker in _workers(process.pid):
            os.kill(worker, signal.SIGKILL)
            killed += 1
        time.sleep(0.05)
    _, errors = process.communicate(timeout=300)
    assert killed
    assert process.returncode == 0, errors
    pd.testing.assert_frame_equal(table(tmp_path), table(undisturbed))


def _workers(parent: int) -> list[int]:
    """Child processes that have started to train: their cells' folders exist by then."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, fields = status.read_text().rsplit(")", 1)
            line = (status.parent / "cmdline").read_text()
        except OSError:
            continue
        if int(fields.split()[1]) == parent and "spawn_main" in line and name:
            found.append(int(status.parent.name))
    return found


def cells_past_an_epoch(folder: Path) -> list[str]:
    """Keys of cells that train now and have done an epoch, as the run says."""
    path = folder / "progress.json"
    groups = json.loads(path.read_text())["running"] if path.exists() else []
    return [key for group in groups if group["epoch"] for key in group["cells"]]


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_who_is_asked_to_end_keeps_what_is_there_and_exits_with_130(tmp_path: Path, sent: signal.Signals) -> None:
    command = [sys.executable, "-m", "kdharness", *RUN, "--set", "recipe.epochs=400"]
    command.remove("--epochs")
    command.remove("6")
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "results" / "digits"
    deadline = time.monotonic() + 120
    while not (training := cells_past_an_epoch(folder)) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(sent)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert (tmp_path / "results" / "digits" / "results.csv").exists()
    assert training
    for key in training:  # the workers were asked to end, and left what they had
        history = (folder / "cells" / key / "history.csv").read_text()
        assert history.startswith("epoch,split,predictor,metric,value\n1,train,")
        last = int(history.splitlines()[-1].split(",")[0])
        saved = torch.load(folder / "cells" / key / "checkpoint", weights_only=True)
        assert saved["clock"]["epoch"] == last, "it would go on from an earlier epoch"
    status = kdharness("status", cwd=tmp_path)
    assert status.returncode == 0
    assert "interrupted" in status.stdout
    assert output


def test_two_runs_at_once_take_turns(tmp_path: Path, undisturbed: Path) -> None:
    command = [sys.executable, "-m", "kdharness", *RUN]
    runs = [
        subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    errors = [run.communicate(timeout=300)[1] for run in runs]
    assert [run.returncode for run in runs] == [0, 0], errors
    assert sum("waiting" in text for text in errors) == 1
    assert sum(text.count("] ok ") for text in errors) == 7  # nothing was trained twice
    pd.testing.assert_frame_equal(table(tmp_path), table(undisturbed))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "digitz"), "unknown benchmark 'digitz'"),
        (("run", "--methods", "kdd"), "unknown method 'kdd' (--methods); did you mean 'kd'"),
        (("run", "--pairs", "conv32:conv61"), "unknown model 'conv61'"),
        (("run", "--datasets", "digitss"), "unknown dataset 'digitss'"),
        (("run", "--set", "kd.temperatur=2"), "did you mean 'temperature'"),
        (("run", "--set", "kd.temperature=warm"), "'warm' is not a valid float"),
        (("run", "--set", "recipe.epoch=3"), "did you mean 'epochs'"),
        (("run", "--set", "kd"), "--set kd: not of the form"),
        (("run", "--seeds", "a-b"), "--seeds: 'a-b' is neither a seed nor a range"),
        (("run", "--scenarios", "noisy"), "unknown scenario 'noisy'"),
        (("run", "--methods", "kd", "--skip", "kd"), "--skip takes them all away"),
        (("run", "--datasets", "cifar100", "--data", "nowhere"), "cifar100"),
        (("run", "--device", "gpu"), "--device gpu: not one of auto, cpu, cuda"),
        (("run", "--executor", "slurn"), "unknown executor 'slurn'"),
        (("run", "--plugin", "missing.py"), "missing.py"),
        (("run", "--teacher", "missing.pt"), "missing.pt"),
        (("report", "nowhere"), "nowhere"),
    ],
)
def test_mistakes_get_one_plain_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code = execute(arguments)
    errors = capsys.readouterr().err
    assert code == 2, errors
    assert says in errors
    assert "Traceback" not in errors
    assert len(errors.strip().splitlines()) <= 2
    assert not list(tmp_path.glob("results/*/cells/*"))


def test_a_dry_run_trains_nothing_and_says_what_would_run(tmp_path: Path) -> None:
    done = kdharness(
        "run", "--dry-run", "--methods", "vanilla,kd", "--pairs", "conv32:torchvision_vit_b_16", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "skip" in done.stdout
    assert not (tmp_path / "results").exists()
